"""Checkpoints that are whole or not there, and the trained networks that come with the package."""

import json
import sys
from pathlib import Path

import pytest
import torch

from cbam_lite import defect_net, evaluate, load_checkpoint, make_defects, save_checkpoint, trained_defect_net
from cbam_lite.checkpoints import ATTENTION, SHIPPED

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


# ---- the trained networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTENTION)
def test_shipped_network_has_the_score_on_its_card(name: str) -> None:
    net, card = trained_defect_net(name)  # loading compares the hash
    assert not net.training
    accuracies = card["test_accuracy_by_contrast"]
    recomputed = {c: evaluate(net, make_defects(**card["test"], contrast=float(c)))[1] for c in accuracies}
    assert recomputed == pytest.approx(accuracies, abs=0.003)  # another processor rounds otherwise
    assert list(accuracies.values()) == sorted(accuracies.values(), reverse=True)  # fainter is harder
    assert accuracies["1.0"] > 0.85
    assert card["parameters"] == sum(p.numel() for p in defect_net(name).parameters())
    assert card["train"]["seed"] != card["test"]["seed"]


def test_shipped_files_are_small_and_all_are_named() -> None:
    named = set()
    for name in ATTENTION:
        card = json.loads((SHIPPED / f"{name}.json").read_text())
        assert {"command", "date", "sha256", "licence", "versions", "settings"} <= card.keys()
        file = SHIPPED / card["tensors"]
        assert file.stat().st_size < 500_000
        named |= {file.name, f"{name}.json"}
    assert {path.name for path in SHIPPED.iterdir()} == named


def test_shipped_networks_by_wrong_names() -> None:
    with pytest.raises(ValueError, match="did you mean 'CBAM'"):
        trained_defect_net("CBAN")
    with pytest.raises(ValueError, match="attention='se'"):
        defect_net("se")


def test_defect_net_takes_any_attention_and_size() -> None:
    net = defect_net(ATTENTION["CBAM"], num_classes=3, planes=4)
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    assert net.features(torch.rand(2, 3, 128, 128)).shape == (2, 32, 8, 8)
