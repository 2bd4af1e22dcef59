"""A classifier for other programs, as ONNX: checked against PyTorch, with the names of its classes inside."""

import copy
import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.checks import a_module, a_path, output_of, positive_int
from cbam_lite.explaining.layers import layer_of
from cbam_lite.photographs.resuming import checked_names
from cbam_lite.training.batches import one_for_each

TOLERANCE = 1e-3  # of the largest output: float32 sums in another order differ by about 1e-6


@dataclasses.dataclass(frozen=True)
class Exported:
    """What `export_onnx` wrote.

    Args:
        path: of the file.
        difference: the largest between an output of ONNX Runtime and that of PyTorch, over batches of 1 and 3 images.
        outputs: ``{name: shape}``, for one image.
        metadata: what the file says about itself, ``session.get_modelmeta().custom_metadata_map``.
    """

    path: Path
    difference: float
    outputs: dict[str, tuple[int, ...]]
    metadata: dict[str, str]

    def __str__(self) -> str:
        """One line."""
        shapes = ", ".join(f"{name} {('B', *shape)}".replace("'", "") for name, shape in self.outputs.items())
        return f"{self.path}: {shapes}; differs from PyTorch by at most {self.difference:.1e}"


class Explained(nn.Module):
    """A model that gives the spatial gate of one of its modules beside its logits."""

    def __init__(self, model: nn.Module, attention: SpatialAttention) -> None:
        super().__init__()
        self.model = model
        self.heard: list[Tensor] = []
        attention.gate.register_forward_hook(lambda module, inputs, gate: self.heard.append(gate))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and gate (B, H, W), from 0 to 1."""
        self.heard.clear()
        logits = self.model(images)
        (gate,) = self.heard
        self.heard.clear()
        return logits, gate[:, 0]


def export_onnx(
    model: nn.Module, path: str | Path, *, size: int, classes: Sequence[str], gate: str | None = None
) -> Exported:
    """Write a classifier as one ONNX file that takes batches of any size, and compare it with PyTorch.

    The input is ``images``, (B, 3, size, size), float32, RGB, from 0 to 1; the output ``logits``, (B, classes). The
    file's metadata tell the names of the classes (as JSON), the size, and what to put in. Give the gate beside the
    answer where somebody has to see why: it needs no gradient, which ONNX Runtime does not have.

    Args:
        model: (B, 3, size, size) -> logits (B, classes). It stays as it is; a copy on the CPU is exported.
        path: of the file, ``.onnx``.
        size: of the images.
        classes: the names of the classes, in the order of the logits.
        gate: the name of a `CBAM`, or of its spatial attention, in ``model.named_modules()``: its spatial gate becomes
            a second output, ``gate``, (B, H, W).

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is missing.
        ValueError: there is no such gate, or names and logits do not fit.
        RuntimeError: what was written differs from PyTorch by more than a thousandth of the largest output.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> names = make_defects(1).classes
        >>> found = export_onnx(model, "net.onnx", size=64, classes=names, gate="layer2.0.attention")
        >>> found.difference < 1e-4
        True
        >>> found.outputs
        {'logits': (8,), 'gate': (16, 16)}
    """
    a_module("model", model)
    names, H = checked_names(classes), positive_int("size", size)
    needed()
    network = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    wrapped = network if gate is None else Explained(network, spatial_attention(network, gate))
    g = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, H, H, generator=g)
    expected = outputs_of(wrapped, images)
    if expected["logits"].shape != (3, len(names)):
        raise ValueError(
            f"the model gives {tuple(expected['logits'].shape)} for 3 images, but there are {len(names)} classes: give "
            "one name for each logit"
        )
    metadata = {"classes": json.dumps(names), "size": str(H), "input": "RGB, float32, from 0 to 1"}
    metadata |= {} if gate is None else {"gate": gate}
    file = a_path("path", path)
    write(wrapped, images, list(expected), metadata, file)
    differences = [difference(wrapped, file, some) for some in (images, images[:1])]
    largest = max(float(values.abs().max()) for values in expected.values())
    if not max(differences) <= TOLERANCE * largest:
        raise RuntimeError(
            f"{file} differs from PyTorch by {max(differences):.2g}, with outputs up to {largest:.2g}: do not use it, "
            "and look for an operation that depends on the batch, or draws random numbers"
        )
    shapes = {name: tuple(values.shape[1:]) for name, values in expected.items()}
    return Exported(file, max(differences), shapes, metadata)


def needed() -> None:
    """An error that names what has to be installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"ONNX is written and checked by three packages: pip install onnx onnxscript onnxruntime ({error})"
        ) from error


def spatial_attention(network: nn.Module, name: str) -> SpatialAttention:
    """The spatial attention of that name, or of the CBAM of that name."""
    if not isinstance(name, str):
        raise TypeError(f"gate must be a name of model.named_modules(), got {name!r} of type {type(name).__name__}")
    module = layer_of(network, name)
    module = module.spatial_attention if isinstance(module, CBAM) else module
    if isinstance(module, SpatialAttention):
        return module
    known = [other for other, part in network.named_modules() if isinstance(part, SpatialAttention)]
    raise ValueError(
        f"gate={name!r} is {type(module).__name__}, which has no spatial gate: use one of {', '.join(known) or 'none'}"
    )


@torch.no_grad()
def outputs_of(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What PyTorch gives, by the names of the outputs."""
    found = output_of(model, images)
    logits, *gate = found if isinstance(model, Explained) else (found,)
    return {"logits": one_for_each(logits, len(images))} | ({"gate": gate[0]} if gate else {})


def write(model: nn.Module, images: Tensor, outputs: list[str], metadata: dict[str, str], file: Path) -> None:
    """The file, with a batch of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program: Any = torch.onnx.export(
            model,
            (images,),
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update(metadata)
    program.save(file)


def difference(model: nn.Module, file: Path, images: Tensor) -> float:
    """The largest difference between ONNX Runtime and PyTorch on these images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    expected = outputs_of(model, images)
    found = session.run(list(expected), {"images": images.numpy()})
    return max(
        float((torch.from_numpy(ours) - theirs).abs().max())
        for ours, theirs in zip(found, expected.values(), strict=True)
    )
