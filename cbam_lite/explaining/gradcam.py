"""Where did the network look? Grad-CAM and its relatives, from the activations and gradients of a layer.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017::

    w_k = mean_ij dy/dA_kij        L = sum_k w_k A_k        then, to look at it: ReLU, resize, normalise

Every map here is raw and signed. What happens to it afterwards has names: `smooth`, `positive`, `resize`, `normalise`.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from cbam_lite.checks import a_module, choose, function, height_and_width, output_of, tensor, whole
from cbam_lite.explaining.layers import layer_of, map_of, names_of, refuse_other_layouts
from cbam_lite.explaining.methods import METHODS, Method, Name
from cbam_lite.networks.modes import evaluating

Score = Callable[..., Tensor]  # what the model gives -> one number for each image, (B,)


# ---- what is explained ----------------------------------------------------------------------------------------------


def logit(classes: Tensor | Sequence[int] | int) -> Score:
    """The logit of one class for each image; one number stands for all images.

    Take the logit, not the softmax: where a class is almost certain, the softmax is flat and its gradient vanishes.
    """

    numbers = class_numbers("classes", classes)
    return lambda output: of_class("classes", numbers, output)


def contrast(first: Tensor | Sequence[int] | int, second: Tensor | Sequence[int] | int) -> Score:
    """How much more the model says `first` than `second`: the difference of two logits."""
    a, b = class_numbers("first", first), class_numbers("second", second)
    return lambda output: of_class("first", a, output) - of_class("second", b, output)


def class_numbers(name: str, classes: Tensor | Sequence[int] | int) -> Tensor:
    """One class, or one for each image, as int64."""
    try:
        numbers = torch.as_tensor(classes)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.zeros(())  # no tensor of whole numbers, which is said next
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool or numbers.dim() > 1:
        raise TypeError(
            f"{name}={classes!r} must be whole numbers, one for all images or one for each: "
            "for a name use its place in the list of classes, data.classes.index('pit')"
        )
    return numbers.long()


def of_class(name: str, numbers: Tensor, output: Tensor) -> Tensor:
    """The outputs (B,) of these classes; the model has to give logits (B, classes)."""
    if not isinstance(output, Tensor) or output.dim() != 2:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the model gives {found}, not (B, classes): make score a function of yours that picks (B,)")
    chosen = numbers.to(output.device, copy=True)  # a copy is an ordinary tensor, also of one made in inference mode
    chosen = chosen.expand(len(output)) if chosen.dim() == 0 else chosen
    if len(chosen) != len(output):
        raise ValueError(f"{len(chosen)} {name} for {len(output)} images: give one class for each image")
    low, high = (int(chosen.min()), int(chosen.max())) if len(chosen) else (0, 0)
    if low < 0 or high >= output.shape[1]:
        raise ValueError(f"{name} {low} to {high} of {output.shape[1]} outputs: count classes from 0")
    return output.gather(1, chosen[:, None])[:, 0]


# ---- activations and gradients --------------------------------------------------------------------------------------


class RanTwice(RuntimeError):
    """A layer ran twice in one pass; a class of its own, so that `output_of` does not take the images for the cause."""


@contextlib.contextmanager
def capture(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Inside, the model runs in eval mode and the outputs of `layers` are caught, ready for `torch.autograd.grad`.

    The graph starts at the first of the layers that runs, and no weight is part of it: what comes before is not
    recorded, so a map of the last block costs little more than a forward pass, and a frozen backbone does not matter.
    Afterwards the model is as it was: hooks, modes, ``requires_grad`` and ``.grad``, also after an error.

    Raises:
        RuntimeError: a layer runs twice in one pass, as a module that is shared does.
        TypeError: `layers` is no mapping from names to modules, or a layer gives no tensor.
    """
    a_module("model", model)
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers must be {{name: module}}, got {type(layers).__name__}: {{'layer4': model.layer4}}")
    for name, layer in layers.items():
        a_module(f"layers[{name!r}]", layer)
    caught: dict[str, Tensor] = {}

    def catch(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            if name in caught:
                raise RanTwice(f"{name} ran twice in one pass: choose a layer that runs once, the block, for example")
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
    method: Name | Method = "Grad-CAM",
) -> dict[str, Tensor]:
    """Raw signed maps of one or more layers for a batch of images.

    Args:
        model: any network. It is left as it was.
        images: (B, ...), as the model takes them.
        layers: names as in ``model.named_modules()``. The block's output is the fair place for a plain network and for
            one with attention.
        score: from the model's output to one number for each image, (B,): `logit`, `contrast`, or a function of yours.
        method: a name of `METHODS`, or a function of activation A and gradient G that gives (B, h, w). The five of
            `METHODS` want A as (B, C, h, w). A function gets them as the layer gives them, as tokens, for example.

    Returns:
        ``{layer: map}``, each (B, h, w), float32 (float64 stays), at the resolution of the layer, with its sign.

    Raises:
        ValueError: a layer is not there, the score is not one number for each image, it does not depend on a layer, its
            gradient is zero everywhere, or the activation has no such layout as the method wants.
        RuntimeError: a layer runs twice, or not at all.
        TypeError: the model is a `DataParallel`, a layer gives no tensor, or an argument is of another kind.

    Example:
        >>> from cbam_lite.explaining.gradcam import logit
        >>> from cbam_lite.explaining.methods import grad_cam
        >>> images = torch.rand(2, 3, 224, 224)
        >>> cam(resnet18(CBAM), images, "layer4", logit(3))["layer4"].shape
        torch.Size([2, 7, 7])

        Swin transformers keep channels last, (B, h, w, C). Shapes alone do not tell that, so permute them:

        >>> def swin(A, G):
        ...     return grad_cam(A.permute(0, 3, 1, 2), G.permute(0, 3, 1, 2))
        >>> model = torchvision.models.swin_t()
        >>> cam(model, images, "features.7", logit(3), swin)["features.7"].shape
        torch.Size([2, 7, 7])

        A ViT has tokens, (B, 1 + h w, C), the first of them for the class:

        >>> def vit(A, G):
        ...     A, G = (x[:, 1:].mT.unflatten(2, (14, 14)) for x in (A, G))  # (B, C, h, w)
        ...     return grad_cam(A, G)
    """
    a_module("model", model)
    if isinstance(model, nn.DataParallel):
        raise TypeError("DataParallel runs copies of the model, whose maps would mix: explain model.module instead")
    tensor("images", images, "B, ...", least=1)
    function("score", score, f"use score=logit({score if isinstance(score, int) else 3}) for the logit of a class")
    network = model._orig_mod if isinstance(model, torch._dynamo.OptimizedModule) else model
    names = names_of(network, layers)
    chosen = METHODS[choose("method", method, METHODS)] if isinstance(method, str) else method
    function("method", chosen, f"give one of A and G, or a name, {', '.join(METHODS)}")
    with capture(network, {name: layer_of(network, name) for name in names}) as caught:
        try:
            scores = score(output_of(network, images.clone()))
        except RanTwice as error:
            raise RuntimeError(str(error)) from None
        if missing := [name for name in names if name not in caught]:
            raise RuntimeError(
                f"{', '.join(missing)} did not run: choose layers that the forward pass of the model uses"
            )
        gradients = gradients_of(scores, caught, len(images))
    result = {}
    for name, A, G in zip(caught, caught.values(), gradients, strict=True):
        A, G = A.detach(), G.detach()
        if chosen in METHODS.values():
            refuse_other_layouts(name, network.get_submodule(name), A, images)
        wide = torch.float64 if A.dtype == torch.float64 else torch.float32
        result[name] = map_of(chosen, name, A.to(wide), G.to(wide))
    return {name: result[name] for name in names}


def gradients_of(scores: Tensor, caught: Mapping[str, Tensor], B: int) -> list[Tensor]:
    """The gradient of the scores with respect to each caught activation, or an error that says what is wrong."""
    if not isinstance(scores, Tensor):
        raise TypeError(f"score gave {type(scores).__name__}: compute a tensor ({B},) from the model's output")
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


def smooth(maps: Tensor, width: int = 3) -> Tensor:
    """The mean over width x width places of a raw map; at the border, over those that are there. (B, h, w) -> (B, h, w)

    LayerCAM and HiResCAM are dotted where a convolution with stride 2 follows the layer. Its 3x3 kernel visits every
    other place, so on the way back a place gets its gradient through 1, 2 or 4 taps, by whether its row and its column
    are even or odd, and a 1x1 shortcut with stride 2 reaches one place of four alone: in an untrained `defect_net` the
    four kinds of place hold .40, .18, .18 and .24 of the gradient at layer2. These methods multiply the activation by
    it, place by place. Grad-CAM takes the mean of the gradient first, so its map has only the activation's own dots.

    Smooth the raw map, before `positive` and `resize`. It costs resolution: where a defect covers many places it mostly
    helps; one of a few places is smeared. On the small defects of `make_defects`, PxAP of both methods changes by -.06
    to +.06, by network and layer, so compare with `cbam_lite.score`. Behind the last block stands no stride: its map
    needs no smoothing.

    Args:
        maps: raw maps, as `cam` gives them.
        width: places along each side of the square, odd, so that the square has a middle; 1 changes nothing.

    Raises:
        ValueError: the width is even, or below 1.

    Example:
        >>> dots = torch.tensor([[[4.0, 0, 4, 0], [0, 0, 0, 0], [4, 0, 4, 0]]])
        >>> smooth(dots)[0, 0].tolist()  # a corner has 4 places, an edge 6
        [1.0, 1.333..., 0.666..., 1.0]
    """
    B, h, w = tensor("maps", maps, "B, h, w", floating=True).shape
    if whole("width", width, 1) % 2 == 0:
        raise ValueError(f"width={width} has no middle place: use an odd number, {width - 1} or {width + 1}")
    return nn.functional.avg_pool2d(maps[:, None], width, 1, width // 2, count_include_pad=False)[:, 0]


def positive(maps: Tensor) -> Tensor:
    """What speaks for the score: negative values become 0. (B, h, w) -> (B, h, w)"""
    B, h, w = tensor("maps", maps, "B, h, w").shape
    return maps.clamp_min(0)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners not aligned, as all CAM libraries do it. (B, h, w) -> (B, H, W)"""
    B, h, w = tensor("maps", maps, "B, h, w", floating=True).shape
    H, W = height_and_width("size", size)
    return nn.functional.interpolate(maps[:, None], (H, W), mode="bilinear", align_corners=False)[:, 0]


def normalise(maps: Tensor) -> Tensor:
    """Each map to its own range from 0 to 1, for display; a map of one value becomes 0. Never score what comes out.

    The smallest value is subtracted, so a floor under the whole map is gone, and with it all that an energy metric
    measures.
    """
    B, h, w = tensor("maps", maps, "B, h, w", floating=True).shape
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / torch.where(high == low, 1, high - low)
