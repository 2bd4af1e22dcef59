"""Maps of any classifier for many photographs, and how they are laid over them."""

import io
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cbam_lite.checks import output_of
from cbam_lite.explaining.gradcam import cam, logit, positive, resize, smooth
from cbam_lite.explaining.methods import Method, Name
from cbam_lite.networks.modes import evaluating
from cbam_lite.plot import VALUES

Pixels = NDArray[np.uint8]  # (H, W, 3)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; the CPU for a model without any."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


@torch.no_grad()
def last_map(model: nn.Module, image: Tensor) -> str | None:
    """The name of the last module that gives a map (B, C, h, w) of more than one place: ``layer4`` of a ResNet.

    It is what Grad-CAM was made for. Small objects are often found better one or two blocks earlier, where the grid is
    finer: compare by `cbam_lite.score`, on images that are not tested on. None where no module gives a map.

    Args:
        model: any network.
        image: one, (3, H, W), float, on any device.
    """
    names, last = {module: name for name, module in model.named_modules() if name}, [None]

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2:].numel() > 1:
            last[0] = names[module]

    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with evaluating(model):
            output_of(model, image[None].to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    return last[0]


def maps_of(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    layer: str,
    method: Name | Method = "LayerCAM",
    width: int = 1,
    batch_size: int = 32,
) -> Tensor:
    """Raw maps (N, h, w) on the CPU, for one class of each image; zero where the class does not depend on the layer.

    Args:
        model: any network.
        images: (N, 3, H, W), uint8, or float from 0 to 1.
        classes: (N,), the class whose logit is explained.
        layer: its name, as in ``model.named_modules()``.
        method: as for `cam`.
        width: of `smooth`; 1 leaves the map as it is.
        batch_size: images for one pass.
    """
    parts: list[Tensor | None] = []
    for some, chosen in zip(torch.split(images, batch_size), torch.split(classes, batch_size), strict=True):
        floats = some.float() / 255 if some.dtype == torch.uint8 else some
        parts += maps_or_none(model, floats.to(device_of(model)), chosen, layer, method)
    size = next((part.shape for part in parts if part is not None), torch.Size([1, 1]))
    maps = torch.stack([torch.zeros(size) if part is None else part.cpu() for part in parts])
    return smooth(maps, width)


def maps_or_none(
    model: nn.Module, images: Tensor, classes: Tensor, layer: str, method: Name | Method
) -> Iterator[Tensor | None]:
    """The map (h, w) of each image; None where its gradient is zero everywhere, which `cam` refuses for a batch."""
    try:
        yield from cam(model, images, layer, logit(classes), method)[layer]
    except ValueError as error:
        if "is zero everywhere" not in str(error):
            raise
        if len(images) == 1:
            yield None
            return
        for image, chosen in zip(images, classes, strict=True):
            yield from maps_or_none(model, image[None], chosen[None], layer, method)


# ---- laid over the photograph ---------------------------------------------------------------------------------------


def heat(image: Tensor, raw: Tensor, alpha: float = 0.6) -> Pixels:
    """A raw map over its photograph, as `plot.draw_cam` draws it: colours from 0 to its peak, the photograph in grey.

    Nothing is subtracted, so what is 0 looks like 0. A map without a positive value leaves the grey photograph.

    Args:
        image: (3, H, W), uint8, or float from 0 to 1.
        raw: (h, w), of any size.
        alpha: the weight of the colours.
    """
    from matplotlib import colormaps  # takes long to import

    rgb = image.cpu().float() / (255 if image.dtype == torch.uint8 else 1)
    S = resize(positive(raw[None].detach().float().cpu()), (rgb.shape[1], rgb.shape[2]))[0]
    grey = rgb.mean(0)[..., None].expand(-1, -1, 3).numpy()
    if S.max() <= 0:
        return as_pixels(grey)
    colours = colormaps[VALUES]((S / S.max()).numpy())[..., :3]
    return as_pixels((1 - alpha) * grey + alpha * colours)


def outlined(pixels: Pixels, mask: Tensor, colour: tuple[int, int, int], width: int = 1) -> Pixels:
    """The pixels with the outline of a mask (H, W): those outside of it that are within `width` of one inside."""
    grown = torch.nn.functional.max_pool2d(mask[None].float(), 2 * width + 1, 1, width)[0] > 0
    result = pixels.copy()
    result[(grown & ~mask).numpy()] = colour
    return result


def as_pixels(values: NDArray[np.floating]) -> Pixels:
    """Values from 0 to 1 as uint8."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def encoded(pixels: Pixels, kind: str = "PNG") -> bytes:
    """The bytes of an image file, "PNG" (exact) or "JPEG" (a tenth of the size)."""
    from PIL import Image  # comes with Matplotlib

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=88)
    return file.getvalue()
