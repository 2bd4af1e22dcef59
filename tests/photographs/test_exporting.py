"""Around the exporter, which is left out here: gates, names, shapes, metadata, and what is compared."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cbam_lite import CBAM, export_onnx, make_defects, trained_defect_net
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.photographs import exporting
from cbam_lite.photographs.exporting import Explained, Exported, outputs_of, spatial_attention

CLASSES = make_defects(1).classes
GATE = "layer2.0.attention"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_defect_net("CBAM")[0]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict:
    """In the place of the exporter and of ONNX Runtime: they remember what they are given."""
    found: dict = {"differences": [1e-6, 2e-6], "compared": []}

    def write(model, images, outputs, metadata, file):
        found.update(model=model, images=images, outputs=outputs, metadata=metadata, file=file)

    def difference(model, file, images):
        found["compared"].append((model, file, images))
        return found["differences"][len(found["compared"]) - 1]

    monkeypatch.setattr(exporting, "write", write)
    monkeypatch.setattr(exporting, "difference", difference)
    return found


def test_what_is_written_and_returned(model: nn.Module, asked: dict, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    found = export_onnx(model, "~/net.onnx", size=64, classes=CLASSES, gate=GATE)
    metadata = {"classes": json.dumps(list(CLASSES)), "size": "64", "input": "RGB, float32, from 0 to 1", "gate": GATE}
    assert found == Exported(tmp_path / "net.onnx", 2e-6, {"logits": (8,), "gate": (16, 16)}, metadata)
    assert (
        str(found)
        == f"{tmp_path / 'net.onnx'}: logits (B, 8), gate (B, 16, 16); differs from PyTorch by at most 2.0e-06"
    )
    assert (asked["outputs"], asked["metadata"], asked["file"]) == (["logits", "gate"], metadata, tmp_path / "net.onnx")
    assert asked["images"].shape == (3, 3, 64, 64)
    assert 0 <= asked["images"].min() < 0.01 < 0.99 < asked["images"].max() <= 1
    (one, file, three_images), (other, _, first) = asked["compared"]
    assert one is other is asked["model"]
    assert file == tmp_path / "net.onnx"
    assert three_images is asked["images"]
    assert torch.equal(first, three_images[:1])


def test_a_copy_is_exported(model: nn.Module, asked: dict, tmp_path: Path) -> None:
    network = trained_defect_net("CBAM")[0].train()
    found = export_onnx(network, tmp_path / "net.onnx", size=64, classes=CLASSES)
    assert asked["model"] is not network
    assert network.training
    assert not asked["model"].training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in asked["model"].parameters())
    assert asked["outputs"] == ["logits"]
    assert found.metadata.keys() == {"classes", "size", "input"}
    assert found.outputs == {"logits": (8,)}


def test_the_images_are_the_same_each_time(model: nn.Module, asked: dict, tmp_path: Path) -> None:
    images = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        asked["compared"].clear()
        export_onnx(model, tmp_path / "net.onnx", size=64, classes=CLASSES)
        images.append(asked["images"])
    assert torch.equal(*images)


@pytest.mark.parametrize(("share", "refused"), [(0.99e-3, False), (1.01e-3, True), (math.nan, True)])
def test_a_thousandth_of_the_largest_output_is_too_much(
    share: float, refused: bool, model: nn.Module, asked: dict, tmp_path: Path
) -> None:
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        largest = float(model(torch.rand(3, 3, 64, 64, generator=g)).abs().max())
    asked["differences"] = [share * largest, 0.0]
    if not refused:
        assert export_onnx(model, tmp_path / "n", size=64, classes=CLASSES).difference == share * largest
        return
    said = rf"n differs from PyTorch by {share * largest:.2g}, with outputs up to {largest:.2g}: do not use it"
    with pytest.raises(RuntimeError, match=said):
        export_onnx(model, tmp_path / "n", size=64, classes=CLASSES)


def test_names_and_logits_are_counted(model: nn.Module, asked: dict, tmp_path: Path) -> None:
    said = r"^the model gives \(3, 8\) for 3 images, but there are 2 classes: give one name for each logit$"
    with pytest.raises(ValueError, match=said):
        export_onnx(model, tmp_path / "n", size=64, classes=("a", "b"))
    for name in ("model", "path"):
        with pytest.raises(TypeError, match=f"^{name} must be"):
            export_onnx(**{"model": model, "path": "n", "size": 64, "classes": CLASSES} | {name: 3})
    with pytest.raises(ValueError, match=r"^size=0 must be at least 1"):
        export_onnx(model, "n", size=0, classes=CLASSES)
    assert "file" not in asked, "nothing is written"


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"], ids=["format", "runtime", "script"])
def test_all_packages_that_are_needed_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    said = r"^ONNX is written and checked by three packages: pip install onnx onnxscript onnxruntime \(import of"
    with pytest.raises(ImportError, match=said):
        export_onnx(nn.Flatten(), tmp_path / "n", size=8, classes=("a",))


# ---- gates -----------------------------------------------------------------------------------------------------------


def test_the_gate_is_that_of_the_images() -> None:
    model = trained_defect_net("CBAM")[0]
    images = make_defects(2, seed=3).images / 255
    attention = model.get_submodule(f"{GATE}.spatial_attention")
    assert isinstance(attention, SpatialAttention)
    explained, seen = Explained(model, attention), []
    handle = attention.register_forward_hook(lambda module, inputs, out: seen.append((inputs[0], out)))
    for some in (images, images[:1]):
        with torch.no_grad():
            expected = model(some)
        seen.clear()
        found = outputs_of(explained, some)
        assert list(found) == ["logits", "gate"]
        assert torch.equal(found["logits"], expected)
        (inside, out), *_ = seen
        torch.testing.assert_close(inside * found["gate"][:, None], out)
        assert explained.heard == []
    handle.remove()
    assert list(outputs_of(model, images)) == ["logits"]
    assert not outputs_of(model, images)["logits"].requires_grad


def test_a_gate_goes_by_the_name_of_its_cbam_or_its_own(model: nn.Module) -> None:
    own = model.get_submodule(f"{GATE}.spatial_attention")
    assert spatial_attention(model, GATE) is spatial_attention(model, f"{GATE}.spatial_attention") is own
    names = ", ".join(f"layer{n}.0.attention.spatial_attention" for n in (1, 2, 3, 4))
    with pytest.raises(ValueError, match=rf"^gate='fc' is Linear, which has no spatial gate: use one of {names}$"):
        spatial_attention(model, "fc")
    with pytest.raises(ValueError, match=r"^gate='0' is Linear, which has no spatial gate: use one of none$"):
        spatial_attention(nn.Sequential(nn.Linear(1, 1)), "0")
    with pytest.raises(ValueError, match="NoSpatialAttention, which has no spatial gate"):
        spatial_attention(nn.Sequential(CBAM(16, spatial_pool="none")), "0")
    with pytest.raises(TypeError, match=r"^gate must be a name of model.named_modules\(\), got 3 of type int$"):
        spatial_attention(model, 3)  # type: ignore[arg-type]
