"""Checkpoints that are whole or not there, whatever happens to the power and to the files."""

import json
import sys
from pathlib import Path

import pytest
import torch

from cbam_lite import load_checkpoint, save_checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(7), "c": torch.ones(2, dtype=torch.bfloat16)}


def test_round_trip(tmp_path: Path, device: torch.device) -> None:
    save_checkpoint(tmp_path / "new" / "folder", "last", {n: t.to(device) for n, t in TENSORS.items()}, {"epoch": 3})
    tensors, facts = load_checkpoint(tmp_path / "new" / "folder", "last")
    assert facts["epoch"] == 3
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    tied = torch.rand(3)
    save_checkpoint(tmp_path, "last", {"a": tied, "b": tied, "c": tied[1:]}, {})
    tensors, _ = load_checkpoint(tmp_path, "last")
    assert torch.equal(tensors["a"], tied)
    assert torch.equal(tensors["c"], tied[1:])


def test_a_newer_one_replaces_the_older(tmp_path: Path) -> None:
    for epoch in range(3):
        save_checkpoint(tmp_path, "last", {"a": torch.tensor(epoch)}, {"epoch": epoch})
        save_checkpoint(tmp_path, "last-but-one", {"a": torch.tensor(-epoch)}, {})
    assert load_checkpoint(tmp_path, "last")[0]["a"] == 2
    assert load_checkpoint(tmp_path, "last-but-one")[0]["a"] == -2
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("moment", ["tensors are being written", "JSON is being written", "JSON is being put in place"])
def test_power_fails_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    save_checkpoint(tmp_path, "last", {"a": torch.tensor(1)}, {"epoch": 1})
    calls = {"fsync": 0, "replace": 0}
    fail_at = {"tensors are being written": ("fsync", 1), "JSON is being written": ("fsync", 2)}.get(
        moment, ("replace", 2)
    )
    real = Path.replace

    def fails(kind: str) -> None:
        calls[kind] += 1
        if (kind, calls[kind]) == fail_at:
            raise OSError("the power failed")

    def replace(self: Path, target: Path) -> Path:
        fails("replace")
        return real(self, target)

    monkeypatch.setattr("os.fsync", lambda _: fails("fsync"))
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="power"):
        save_checkpoint(tmp_path, "last", {"a": torch.tensor(2)}, {"epoch": 2})
    monkeypatch.undo()
    tensors, facts = load_checkpoint(tmp_path, "last")
    assert (tensors["a"], facts["epoch"]) == (1, 1)
    save_checkpoint(tmp_path, "last", {"a": torch.tensor(3)}, {})
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]  # nothing is left behind


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "not JSON", "no names"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    path = save_checkpoint(tmp_path, "last", TENSORS, {})
    file = tmp_path / json.loads(path.read_text())["tensors"]
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-3])
    elif damage == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        file.unlink()
    else:
        path.write_text("{" if damage == "not JSON" else "{}")
    with pytest.raises(ValueError, match=r"damaged.*take the checkpoint away"):
        load_checkpoint(tmp_path, "last")


def test_no_such_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"best\.json is not there"):
        load_checkpoint(tmp_path, "best")


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        save_checkpoint(tmp_path, "last", TENSORS, {})
