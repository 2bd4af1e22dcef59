"""darknet's .weights files: the format in which YOLOv4-tiny was released, read into a `YoloTiny` and written from one.

A file is a header and then float32 numbers, layer after layer, little endian, without names and without sizes::

    header             int32 major, minor, revision; seen, int64 if 10 major + minor >= 2, else int32
    conv with a norm   beta, gamma, running mean, running variance, weights (out, in, h, w)
    conv without       bias, weights

So only the number of bytes says whether a file fits a network. It is counted before anything is loaded.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cbam_lite.checks import a_path, whole
from cbam_lite.detection.yolo import YoloTiny
from cbam_lite.networks.insertion import Attended
from cbam_lite.networks.weight_names import State
from cbam_lite.networks.weights import all_finite, bare
from cbam_lite.training.checkpoints import write_whole

# Our layers in the order of the file, with darknet's numbers, which count routes and pools, too.
STAGES = [f"backbone.stage{s}.{part}" for s in (1, 2, 3) for part in ("whole", "half1", "half2", "merge")]
NECK = ["reduce", "head_P5.0", "head_P5.1", "up.0", "head_P4.0", "head_P4.1"]
NUMBERS = [0, 1, 2, 4, 5, 7, 10, 12, 13, 15, 18, 20, 21, 23, 26, 27, 28, 29, 32, 35, 36]
LAYERS = dict(zip(["backbone.stem1", "backbone.stem2", *STAGES, "backbone.last", *NECK], NUMBERS, strict=True))
OUTPUTS = ("head_P5.1", "head_P4.1")  # the layers without a norm; their size depends on the classes
VERSION = (0, 2, 5)  # of the released files


@dataclass(frozen=True)
class DarknetReport:
    """What a darknet file said of itself, and how far it filled the network; ``print`` gives it as a sentence.

    Args:
        version: major, minor and revision of darknet's format.
        seen: how many images the network was trained on, repeats counted.
        read: layers whose values come from the file, by their names in `YoloTiny`.
        kept: layers that the file does not hold. They keep the values they had.
        attention: where attention stands. It keeps its values, because darknet's files hold none.

    Example:
        >>> path = write_darknet(yolo_tiny(), "tiny.weights")
        >>> report = read_darknet(yolo_tiny(phi=2, init="identity"), path)
        >>> report.version, len(report.read), report.attention
        ((0, 2, 5), 21, ('feat1', 'feat2', 'P5_upsample'))
    """

    version: tuple[int, int, int]
    seen: int
    read: tuple[str, ...]
    kept: tuple[str, ...]
    attention: tuple[str, ...]

    def __str__(self) -> str:
        kept = [*self.kept, *(f"attention at {place}" for place in self.attention)]
        return (
            f"darknet {'.'.join(map(str, self.version))}, {self.seen} images seen: {len(self.read)} of {len(LAYERS)} "
            f"layers read, to {self.read[-1]}" + (f"; own values kept: {', '.join(kept)}" if kept else "")
        )


def read_darknet(model: nn.Module, path: str | os.PathLike[str], *, partial: bool = False) -> DarknetReport:
    """Load a darknet file into a `YoloTiny`, all or nothing.

    The released network wants RGB images with values from 0 to 1. darknet divides by sqrt(variance + 1e-5), as
    `nn.BatchNorm2d` does; very old versions divide by sqrt(variance) + 1e-6, which differs where a variance is small.

    Args:
        model: `yolo_tiny()` for the released ``yolov4-tiny.weights`` (24,251,276 bytes, 80 classes), which had
            `RELEASED_ANCHORS`. It may have attention, which keeps its values: with ``init="identity"`` the network
            computes what the plain one does. The counts of batches in the norms stay, too. It is untouched after an
            error.
        path: the file.
        partial: take a file that ends early, after a whole layer. ``yolov4-tiny.conv.29`` (19,789,716 bytes) holds
            darknet's layers 0 to 28: all before the first output, so they fit any number of classes.

    Returns:
        Which layers were read, and which parts kept their values.

    Raises:
        ValueError: the file is no darknet file, ends early, is too long, or holds NaN, infinity or a negative
            variance; or a layer of the model was replaced.
        TypeError: the model is no `YoloTiny`, or the path is none.
        FileNotFoundError: there is no such file.

    A file does not say for which network it is. What has the right size and passes these checks is loaded.

    Source: the format as darknet writes it, https://github.com/AlexeyAB/darknet.

    Example:
        >>> model = yolo_tiny(num_classes=6, width=0.25)
        >>> path = write_darknet(model, "boards.weights", seen=6400)
        >>> attentive = yolo_tiny(phi=3, num_classes=6, width=0.25, init="identity")
        >>> print(read_darknet(attentive, path))
        darknet 0.2.5, 6400 images seen: 21 of 21 layers read, to head_P4.1; own values kept: attention at feat1,
        attention at feat2, attention at P5_upsample
    """
    model = yolo(model)
    layers, path = layers_of(model), a_file(path)
    version, seen, start = header_of(path)
    held = held_layers(path, layers, start, bool(partial))
    state = numbers_of(path, held, start)
    own = {name: tensor for layer in held for name, tensor in layer.tensors.items()}
    plausible(path, state, held)
    all_finite(state, own)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])
    read, kept = [layer.name for layer in held], [layer.name for layer in layers[len(held) :]]
    return DarknetReport(version, seen, tuple(read), tuple(kept), attention_places(model, layers))


def write_darknet(model: nn.Module, path: str | os.PathLike[str], *, seen: int = 0) -> Path:
    """Write a `YoloTiny` without attention as a darknet file; returns its path.

    The file is there as a whole or not at all. Weights in float64 are rounded to float32. What darknet keeps in its
    cfg file (anchors, classes, image size) is not in it.

    Args:
        model: the network.
        path: the file; one of that name is replaced.
        seen: how many images the network was trained on. darknet goes on from there with its learning rate.

    Raises:
        ValueError: the model has attention, which darknet's files have no place for, or a number in it is NaN or
            infinite in float32; or `seen` is negative, or `path` a folder.
        TypeError: the model is no `YoloTiny`, or another argument is of the wrong kind.
        FileNotFoundError: there is no such folder.

    Source: the format as darknet writes it, https://github.com/AlexeyAB/darknet.

    Example:
        >>> write_darknet(yolo_tiny(), "tiny.weights").stat().st_size  # as many bytes as the released file
        24251276
    """
    model, seen, path = yolo(model), whole("seen", seen), a_path("path", path)
    layers = layers_of(model)
    if places := attention_places(model, layers):
        raise ValueError(
            f"darknet's files have no place for attention, and the model has it at {', '.join(places)}: keep "
            "model.state_dict() instead. Its other weights alone are another network; if you want that, load them into "
            "a plain one with load_state_dict(..., strict=False) and write it"
        )
    if path.is_dir() or not path.parent.is_dir():
        kind, what = (ValueError, "a folder") if path.is_dir() else (FileNotFoundError, "in a folder that is not there")
        raise kind(f"path={str(path)!r} is {what}: give the name of a file in a folder that exists")
    header = struct.pack("<3iQ", *VERSION, seen)
    write_whole(path, header + b"".join(bytes_of(name, t) for layer in layers for name, t in layer.tensors.items()))
    return path


# ---- the layers of the network --------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A convolution and what stands beside it in the file: tensors of the model by name, in the file's order."""

    name: str
    tensors: State

    @property
    def size(self) -> int:
        return 4 * sum(tensor.numel() for tensor in self.tensors.values())  # bytes

    def __str__(self) -> str:
        return f"{self.name} (darknet's layer {LAYERS[self.name]})"


def yolo(model: nn.Module) -> YoloTiny:
    """The network itself, without what torch.compile or DataParallel put around it."""
    inner = bare(model) if isinstance(model, nn.Module) else model
    if not isinstance(inner, YoloTiny):
        raise TypeError(f"model must be a YoloTiny, such as yolo_tiny(), got {type(inner).__name__}")
    return inner


def layers_of(model: YoloTiny) -> list[Layer]:
    return [Layer(name, tensors_of_layer(model, name)) for name in LAYERS]


def tensors_of_layer(model: YoloTiny, name: str) -> State:
    conv, norm = (name, None) if name in OUTPUTS else (f"{name}.conv", f"{name}.norm")
    names = (
        [f"{norm}.{part}" for part in ("bias", "weight", "running_mean", "running_var")] if norm else [f"{conv}.bias"]
    )
    return {place: own_tensor(model, place) for place in [*names, f"{conv}.weight"]}


def own_tensor(model: YoloTiny, name: str) -> Tensor:
    """The tensor that the model itself keeps; copying into what pruning or a parametrisation computes does nothing."""
    place: nn.Module = model
    *path, last = name.split(".")
    for part in path:
        place = getattr(place, part, nn.Identity())
        while isinstance(place, Attended):  # attention was inserted after it
            place = place.layer
    tensor = {**place._parameters, **place._buffers}.get(last)
    if tensor is None:
        raise ValueError(
            f"{name} is not in the model, {type(place).__name__} stands there: read the file into a fresh yolo_tiny(), "
            "and prune, fuse or replace layers afterwards"
        )
    return tensor


def attention_places(model: YoloTiny, layers: list[Layer]) -> tuple[str, ...]:
    """Where the model has weights that are in no layer of the file."""
    in_layers = {id(tensor) for layer in layers for tensor in layer.tensors.values()}
    others = [
        name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if id(tensor) not in in_layers
    ]
    places = [
        name.partition(".attention.")[0] if ".attention." in name else name.partition(".")[0]
        for name in others
        if not name.endswith("num_batches_tracked")
    ]
    return tuple(dict.fromkeys(places))


# ---- the bytes of the file ------------------------------------------------------------------------------------------


def a_file(path: str | os.PathLike[str]) -> Path:
    path = a_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is {'a folder' if path.is_dir() else 'not there'}: give the path of a .weights file"
        )
    return path


def header_of(path: Path) -> tuple[tuple[int, int, int], int, int]:
    """The version, the images seen, and the byte at which the layers begin."""
    with path.open("rb") as file:
        start = file.read(20)
    size = 20 if len(start) < 12 else 12 + seen_bytes(start)
    if len(start) < size:
        raise ValueError(f"{path} ends at byte {len(start)}, inside its header of {size} bytes: fetch it again")
    major, minor, revision = struct.unpack_from("<3i", start)
    if not (0 <= major < 1000 and 0 <= minor < 1000 and revision >= 0):
        raise ValueError(
            f"{path} is no darknet file: it begins with the version {major}.{minor}.{revision}, released files with "
            f"{'.'.join(map(str, VERSION))}. What torch.save wrote is read by load_port or model.load_state_dict"
        )
    (seen,) = struct.unpack_from("<Q" if size == 20 else "<I", start, 12)
    return (major, minor, revision), seen, size


def seen_bytes(start: bytes) -> int:
    major, minor = struct.unpack_from("<2i", start)
    return 8 if 10 * major + minor >= 2 else 4


def held_layers(path: Path, layers: list[Layer], start: int, partial: bool) -> list[Layer]:
    """The layers that a file of this size holds, or an error that says where it ends."""
    size, ends = path.stat().st_size, [start, *(start + np.cumsum([layer.size for layer in layers])).tolist()]
    count, needed = sum(end <= size for end in ends[1:]), ends[-1]
    hint = fitting_classes(layers, size - start)
    if size > needed:
        raise ValueError(
            f"{path} has {size} bytes, {size - needed} more than the {needed} of this network, nothing was loaded: "
            + (hint or "it is of another network, or of another width")
        )
    if size > ends[count]:
        raise ValueError(
            f"{path} ends at byte {size}, inside {layers[count]}, which goes from byte {ends[count]} to byte "
            f"{ends[count + 1]}; this network has {needed} bytes. Nothing was loaded: "
            + (hint or "it is cut short, fetch it again, or it is of another network")
        )
    if not count:
        raise ValueError(f"{path} ends at byte {size}, after its header, and holds no layer: fetch it again")
    if count < len(layers) and not partial:
        raise ValueError(
            f"{path} ends at byte {size}, after {layers[count - 1]}, with {count} of {len(layers)} layers; this "
            f"network has {needed} bytes. Nothing was loaded: read it with partial=True, which leaves the other layers "
            "as they are, or fetch it again if it should be whole"
        )
    return layers[:count]


def fitting_classes(layers: list[Layer], size: int) -> str:
    """What to do if a network with other classes has layers of this size; empty if none has."""
    outputs = [layer for layer in layers if layer.name in OUTPUTS]
    rows = len(outputs[0].tensors[f"{OUTPUTS[0]}.bias"])  # 3 (5 + K)
    for_a_class = 3 * sum(layer.size for layer in outputs) // rows
    others = sum(layer.size for layer in layers) - sum(layer.size for layer in outputs)
    fives, left = divmod(size - others, for_a_class)  # 5 + K of the file
    if left or fives < 6:
        return ""
    return f"its size fits num_classes={fives - 5}, and the model has {rows // 3 - 5}: build it with so many"


def numbers_of(path: Path, held: list[Layer], start: int) -> State:
    numbers = np.fromfile(path, "<f4", offset=start)
    state: State = {}
    at = 0
    for layer in held:
        for name, tensor in layer.tensors.items():
            state[name] = torch.from_numpy(numbers[at : at + tensor.numel()]).view(tensor.shape)
            at += tensor.numel()
    return state


def plausible(path: Path, state: State, held: list[Layer]) -> None:
    """Refuse negative variances: other numbers stand there, so the file is of a network with other layers."""
    for layer in held:
        variance = state.get(f"{layer.name}.norm.running_var")
        if variance is not None and (bad := int((variance < 0).sum())):
            raise ValueError(
                f"{bad} of {len(variance)} running variances of {layer} in {path} are negative, nothing was loaded: "
                "the file is damaged, or of another network"
            )


def bytes_of(name: str, tensor: Tensor) -> bytes:
    numbers = tensor.detach().cpu().float()
    if bad := int((~numbers.isfinite()).sum()):
        raise ValueError(
            f"{bad} of {numbers.numel()} numbers in {name} are NaN or infinite in float32, nothing was written: write "
            "weights from before the training went wrong"
        )
    return numbers.contiguous().numpy().astype("<f4").tobytes()
