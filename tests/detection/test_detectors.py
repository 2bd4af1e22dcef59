"""The detector that comes with the package: small, whole, and as good as its card says."""

from pathlib import Path

import pytest
import torch

from cbam_lite.detection import detectors
from cbam_lite.detection.average_precision import average_precision
from cbam_lite.detection.boxed_defects import KINDS, make_boxed_defects
from cbam_lite.detection.detecting import detect
from cbam_lite.detection.detectors import trained_detector


def test_it_is_below_a_megabyte_and_keeps_half_precision() -> None:
    files = list(detectors.SHIPPED.iterdir())
    assert sorted(file.suffix for file in files) == [".json", ".safetensors"]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    model, _ = trained_detector()
    assert all(torch.equal(p, p.half().float()) for p in model.parameters())
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_it_is_what_its_card_says() -> None:
    model, card = trained_detector()
    assert not model.training
    assert model.classes == card["classes"] == list(KINDS)
    assert sum(parameter.numel() for parameter in model.parameters()) == card["parameters"] == 373_994
    assert card["test"]["seed"] not in (card["train"]["seed"], 0, 1)
    scores = [card["test_by_contrast"][contrast]["AP50"] for contrast in ("1.0", "0.7", "0.4")]
    assert scores == sorted(scores, reverse=True)


def test_it_finds_what_its_card_promises() -> None:
    """On 64 of the 500 images of the card, so within the scatter of so few."""
    model, card = trained_detector()
    data = make_boxed_defects(64, seed=card["test"]["seed"])
    found = average_precision(detect(model, data, confidence=0.001), data)
    assert found.AP50 == pytest.approx(card["test_by_contrast"]["1.0"]["AP50"], abs=0.06)
    assert pytest.approx(card["test_by_contrast"]["1.0"]["AP"], abs=0.08) == found.AP


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in detectors.SHIPPED.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-1] ^= 1
        (tmp_path / file.name).write_bytes(content)
    monkeypatch.setattr(detectors, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="is damaged, its hash is another one"):
        trained_detector()
