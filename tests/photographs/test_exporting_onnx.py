"""ONNX: what ONNX Runtime gives, what the file says about itself, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cbam_lite import CBAM, export_onnx, make_defects, record_attention, resnet18, trained_defect_net
from cbam_lite.photographs import exporting

CLASSES = make_defects(1).classes


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The trained CBAM network with a gate as a second output: the network, and what was returned."""
    model, _ = trained_defect_net("CBAM")
    file = tmp_path_factory.mktemp("onnx") / "net.onnx"
    return model, export_onnx(model, file, size=64, classes=CLASSES, gate="layer2.0.attention")


def session(found):
    import onnxruntime

    return onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("B", [1, 2, 5])
def test_batches_of_any_size_give_logits_and_gate_of_pytorch(written, B: int) -> None:
    model, found = written
    images = make_defects(B, seed=4).images / 255
    with record_attention(model) as maps, torch.no_grad():
        expected = model(images)
    logits, gate = session(found).run(["logits", "gate"], {"images": images.numpy()})
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gate, maps.spatial["layer2.0.attention.spatial_attention"], rtol=1e-4, atol=1e-5)


def test_the_file_says_what_it_wants_and_gives(written) -> None:
    _, found = written
    metadata = session(found).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(CLASSES)
    assert (metadata["size"], metadata["gate"]) == ("64", "layer2.0.attention")
    assert metadata == found.metadata
    assert [one.name for one in session(found).get_inputs()] == ["images"]
    assert session(found).get_inputs()[0].shape == ["batch", 3, 64, 64]


def test_the_difference_is_measured(written, monkeypatch) -> None:
    model, found = written
    assert 0 < found.difference < 1e-4
    assert f"differs from PyTorch by at most {found.difference:.1e}" in str(found)
    assert "logits (B, 8), gate (B, 16, 16)" in str(found)


def test_a_file_that_differs_is_not_trusted(tmp_path, monkeypatch) -> None:
    real = exporting.write

    def wrong(model, *arguments):
        with torch.no_grad():
            model.fc.bias[0] += 0.1
        real(model, *arguments)
        with torch.no_grad():
            model.fc.bias[0] -= 0.1

    monkeypatch.setattr(exporting, "write", wrong)
    with pytest.raises(RuntimeError, match=r"differs from PyTorch by 0\.1, with outputs up to"):
        export_onnx(trained_defect_net("plain")[0], tmp_path / "net.onnx", size=64, classes=CLASSES)


def test_without_a_gate_there_are_logits_alone_and_the_model_stays_as_it_was(tmp_path) -> None:
    model = resnet18(CBAM, num_classes=2).train()
    found = export_onnx(model, tmp_path / "net.onnx", size=32, classes=("good", "crack"))
    assert found.outputs == {"logits": (2,)}
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_gate_may_be_named_by_its_spatial_attention(written, tmp_path) -> None:
    model, found = written
    name = "layer2.0.attention.spatial_attention"
    other = export_onnx(model, tmp_path / "net.onnx", size=64, classes=CLASSES, gate=name)
    images = {"images": torch.rand(2, 3, 64, 64).numpy()}
    np.testing.assert_array_equal(session(other).run(["gate"], images), session(found).run(["gate"], images))


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("CBAM", {"gate": "layer2.0"}, "gate='layer2.0' is BasicBlock, which has no spatial gate: use one of layer1.0"),
        ("CBAM", {"gate": "layer9"}, "has no layer 'layer9'"),
        ("plain", {"gate": "layer2"}, "use one of none"),
        ("CBAM", {"classes": ("good", "crack")}, r"gives \(3, 8\) for 3 images, but there are 2 classes"),
        ("CBAM", {"size": 0}, "size=0 must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(model: str, options, says: str, tmp_path) -> None:
    network = trained_defect_net(model)[0]
    with pytest.raises(ValueError, match=says):
        export_onnx(network, tmp_path / "net.onnx", **({"size": 64, "classes": CLASSES} | options))


def test_a_cbam_without_a_spatial_gate_has_none_to_give(tmp_path) -> None:
    model = resnet18(lambda channels: CBAM(channels, spatial_pool="none"), num_classes=2)
    with pytest.raises(ValueError, match="has no spatial gate"):
        export_onnx(model, tmp_path / "net.onnx", size=32, classes=("a", "b"), gate="layer1.0.attention")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_what_is_missing_is_named(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript onnxruntime"):
        export_onnx(nn.Identity(), tmp_path / "net.onnx", size=8, classes=("a", "b"))
