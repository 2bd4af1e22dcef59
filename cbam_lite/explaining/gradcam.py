"""Where did the network look? Grad-CAM and its relatives, from the activations and gradients of a layer.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017::

    w_k = mean_ij dy/dA_kij        L = sum_k w_k A_k        then, to look at it: ReLU, resize, normalise

Every map here is raw and signed. What happens to it afterwards has names: `positive`, `resize`, `normalise`.
"""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from cbam_lite.checks import choose
from cbam_lite.explaining.methods import METHODS, Method
from cbam_lite.networks.modes import evaluating

Score = Callable[..., Tensor]  # what the model gives -> one number for each image, (B,)


# ---- what is explained ----------------------------------------------------------------------------------------------


def logit(classes: Tensor | Sequence[int] | int) -> Score:
    """The logit of one class for each image; one number stands for all images.

    Take the logit, not the softmax: where a class is almost certain, the softmax is flat and its gradient vanishes.
    """

    def score(output: Tensor) -> Tensor:
        chosen = torch.as_tensor(classes, device=output.device)
        chosen = chosen.expand(len(output)) if chosen.dim() == 0 else chosen
        if len(chosen) != len(output):
            raise ValueError(f"{len(chosen)} classes for {len(output)} images: give one class for each image")
        low, high = (int(chosen.min()), int(chosen.max())) if len(chosen) else (0, 0)
        if low < 0 or high >= output.shape[1]:
            raise ValueError(f"classes {low} to {high} of {output.shape[1]} outputs: count classes from 0")
        return output.gather(1, chosen[:, None])[:, 0]

    return score


def contrast(first: int, second: int) -> Score:
    """How much more the model says `first` than `second`: the difference of two logits."""
    return lambda output: output[:, first] - output[:, second]


# ---- activations and gradients --------------------------------------------------------------------------------------


@contextlib.contextmanager
def capture(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Inside, the model runs in eval mode and the outputs of `layers` are caught, ready for `torch.autograd.grad`.

    The graph starts at the first of the layers that runs, and no weight is part of it: what comes before is not
    recorded, so a map of the last block costs little more than a forward pass, and a frozen backbone does not matter.
    Afterwards the model is as it was: hooks, modes, ``requires_grad`` and ``.grad``, also after an error.

    Raises:
        RuntimeError: a layer runs twice in one pass, as a module that is shared does.
    """
    caught: dict[str, Tensor] = {}

    def catch(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            if name in caught:
                raise RuntimeError(
                    f"{name} ran twice in one pass: choose a layer that runs once, the block, for example"
                )
            if not isinstance(output, Tensor):
                raise TypeError(f"{name} gives {type(output).__name__}, not a tensor: choose a layer inside it")
            depends = bool(caught) and output.requires_grad  # on a layer that is caught already
            caught[name] = output if depends else output.detach().requires_grad_()
            return caught[name].clone()  # so that in-place operations behind the layer do not change what was caught

        return hook

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [layer.register_forward_hook(catch(name)) for name, layer in layers.items()]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        with evaluating(model), torch.inference_mode(False), torch.enable_grad():
            yield caught
    finally:
        for handle in handles:
            handle.remove()
        for parameter in trainable:
            parameter.requires_grad_()


def cam(
    model: nn.Module,
    images: Tensor,
    layers: str | Sequence[str],
    score: Score,
    method: str | Method = "Grad-CAM",
) -> dict[str, Tensor]:
    """Raw signed maps of one or more layers for a batch of images.

    Args:
        model: any network. It is left as it was.
        images: (B, ...), as the model takes them.
        layers: names as in ``model.named_modules()``. The block's output is the fair place for a plain network and for
            one with attention.
        score: from the model's output to one number for each image, (B,): `logit`, `contrast`, or a function of yours.
        method: a name of `METHODS`, or a function of activation and gradient.

    Returns:
        ``{layer: map}``, each (B, h, w), float32 (float64 stays), at the resolution of the layer, with its sign.

    Raises:
        ValueError: a layer is not there, the score is not one number for each image, it does not depend on a layer, or
            its gradient is zero everywhere.
        RuntimeError: a layer runs twice, or not at all.
        TypeError: the model is a `DataParallel`, or a layer gives no tensor.

    Example:
        >>> maps = cam(model, images, "layer4", logit(3))
    """
    if isinstance(model, nn.DataParallel):
        raise TypeError("DataParallel runs copies of the model, whose maps would mix: explain model.module instead")
    names = [layers] if isinstance(layers, str) else list(layers)
    function = METHODS[choose("method", method, METHODS)] if isinstance(method, str) else method
    network = model._orig_mod if isinstance(model, torch._dynamo.OptimizedModule) else model
    with capture(network, {name: layer_of(network, name) for name in names}) as caught:
        scores = score(network(images.clone()))
        if missing := [name for name in names if name not in caught]:
            raise RuntimeError(
                f"{', '.join(missing)} did not run: choose layers that the forward pass of the model uses"
            )
        gradients = gradients_of(scores, caught, len(images))
    result = {}
    for name, A, G in zip(caught, caught.values(), gradients, strict=True):
        A, G = A.detach(), G.detach()
        wide = torch.float64 if A.dtype == torch.float64 else torch.float32
        result[name] = function(A.to(wide), G.to(wide))
    return {name: result[name] for name in names}


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """The module of that name, or an error with the closest name and the parts that the model is made of."""
    known = dict(model.named_modules())
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    parts = ", ".join(child for child, _ in model.named_children())
    raise ValueError(f"{type(model).__name__} has no layer {name!r}: {hint}Its parts are {parts}; see named_modules()")


def gradients_of(scores: Tensor, caught: Mapping[str, Tensor], B: int) -> list[Tensor]:
    """The gradient of the scores with respect to each caught activation, or an error that says what is wrong."""
    if scores.shape != (B,):
        raise ValueError(f"score gave {tuple(scores.shape)} for {B} images: it has to give one number for each, ({B},)")
    if not scores.requires_grad:
        raise ValueError(
            "the score does not depend on the layers: compute it from the model's output, without detach()"
        )
    gradients = torch.autograd.grad(scores.sum(), list(caught.values()), allow_unused=True)
    for name, G in zip(caught, gradients, strict=True):
        if G is None:
            raise ValueError(f"the score does not depend on {name}: choose a layer on the way to what is explained")
        zero = (G.flatten(1) == 0).all(1).nonzero()[:, 0].tolist()
        if zero:
            raise ValueError(
                f"the gradient at {name} is zero everywhere for images {zero[:8]}: a saturated softmax (explain the "
                "logit instead), a ReLU that is closed, or a layer that this score does not use"
            )
    return list(gradients)


# ---- from a raw map to a picture ------------------------------------------------------------------------------------


def positive(maps: Tensor) -> Tensor:
    """What speaks for the score: negative values become 0. (B, h, w) -> (B, h, w)"""
    return maps.clamp_min(0)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners not aligned, as all CAM libraries do it. (B, h, w) -> (B, H, W)"""
    return nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def normalise(maps: Tensor) -> Tensor:
    """Each map to its own range from 0 to 1, for display; a map of one value becomes 0. Never score what comes out.

    The smallest value is subtracted, so a floor under the whole map is gone, and with it all that an energy metric
    measures.
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / torch.where(high == low, 1, high - low)
