"""The layers that `cam` is asked for: their names, and the layout of what they give.

Activations are (B, C, h, w) in most networks. Transformers keep tokens (B, N, C), or channels last (B, h, w, C).
"""

import difflib
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from cbam_lite.explaining.methods import Method

HINT = "give a method of your own that permutes A and G to (B, C, h, w); the docstring of cam has one"


def names_of(model: nn.Module, layers: str | Sequence[str]) -> list[str]:
    """The names of layers as a list, or an error that names what was given instead of them."""
    names = [layers] if isinstance(layers, str | nn.Module) or not isinstance(layers, Iterable) else list(layers)
    for layer in names:
        if not isinstance(layer, str):
            known = next((repr(name) for name, other in model.named_modules() if other is layer), "'layer4'")
            raise TypeError(f"layers holds no names, but {type(layer).__name__}: give the layer's name, {known}")
    if not names:
        raise ValueError(
            "layers is empty: give at least one name of model.named_modules(), the last block, for example"
        )
    return names


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """The module of that name, or an error with the closest name and the parts that the model is made of."""
    known = dict(model.named_modules())
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    parts = ", ".join(child for child, _ in model.named_children())
    raise ValueError(f"{type(model).__name__} has no layer {name!r}: {hint}Its parts are {parts}; see named_modules()")


def refuse_other_layouts(name: str, layer: nn.Module, A: Tensor, images: Tensor) -> None:
    """An error where a layer's activation is certainly not (B, C, h, w)."""
    if A.dim() != 4:
        raise ValueError(f"{name} gives {tuple(A.shape)}, but the method wants (B, C, h, w): {HINT}")
    if channels_last(layer, A, images):
        raise ValueError(f"{name} gives {tuple(A.shape)}, which is channels last, (B, h, w, C): {HINT}")


def channels_last(layer: nn.Module, A: Tensor, images: Tensor) -> bool:
    """Whether an activation is (B, h, w, C) by all that can be known of it.

    A shape alone does not tell: a convolution may well have 7 channels and a map of 7 x 768. So three things must
    agree. The aspect ratio of the images is that of axes 1 and 2, and not that of axes 2 and 3; a part of the layer has
    weights for as many channels as stand in axis 3; and none has them for as many as stand in axis 1.
    """
    if images.dim() != 4:
        return False
    B, first, second, last = A.shape
    H, W = images.shape[2:]
    channels = {size for part in layer.modules() for size in channels_of(part)}
    return first * W == second * H and second * W != last * H and last in channels and first not in channels


def channels_of(part: nn.Module) -> set[int]:
    """The numbers of channels that the weights of one module are made for."""
    sizes = (getattr(part, name, None) for name in ("in_channels", "out_channels", "in_features", "out_features"))
    shape = getattr(part, "normalized_shape", ())
    return {size for size in (*sizes, getattr(part, "num_features", None), *shape[-1:]) if isinstance(size, int)}


def map_of(method: Method, name: str, A: Tensor, G: Tensor) -> Tensor:
    """The map (B, h, w) that a method makes of one layer."""
    found = method(A, G)
    if not isinstance(found, Tensor) or found.dim() != 3 or len(found) != len(A):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"method gave {shape} for {name} {tuple(A.shape)}: it has to give one map for each, (B, h, w)")
    return found
