"""Checkpoints that are whole or not there, whatever happens to the power and to the files."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cbam_lite import load_checkpoint, save_checkpoint
from cbam_lite.training.checkpoints import is_left_over, take_away_old, write_whole

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


def test_saving_last_leaves_last_but_one_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last-but-one", {"a": torch.tensor(1)}, {})
    save_checkpoint(tmp_path, "last", {"a": torch.tensor(2)}, {})
    assert load_checkpoint(tmp_path, "last-but-one")[0]["a"] == 1


def test_tensors_are_kept_as_they_are_also_if_not_finite(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", {"mask": torch.tensor([0.0, -torch.inf])}, {})
    assert load_checkpoint(tmp_path, "last")[0]["mask"].tolist() == [0, -torch.inf]


def test_a_fact_that_json_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="facts holds what JSON cannot"):
        save_checkpoint(tmp_path, "last", {"a": torch.tensor(1)}, {"epoch": {1, 2}})
    assert list(tmp_path.iterdir()) == []


def test_json_without_the_hash_is_damaged(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, "last", TENSORS, {})
    path.write_text(json.dumps({"tensors": json.loads(path.read_text())["tensors"]}))
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(tmp_path, "last")


# ---- temporary files ------------------------------------------------------------------------------------------------


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("precious")
    folder.mkdir()
    for name in ("last.json", "other.txt"):
        (folder / f".{name}.{os.getpid()}").symlink_to(victim)
    save_checkpoint(folder, "last", {"a": torch.tensor(1)}, {})
    write_whole(folder / "other.txt", b"content")
    assert victim.read_text() == "precious"
    assert (folder / "other.txt").read_bytes() == b"content"


def test_a_name_that_is_taken_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 16)  # as if it had been guessed
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".other.txt.{os.getpid()}.{'0' * 16}").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "other.txt", b"content")
    assert (tmp_path / "victim").read_text() == "precious"


def test_what_a_killed_process_left_goes_at_the_next_save(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    digest, token = "0" * 12, "a" * 16
    gone = [f".last.json.{killed.pid}.{token}", f".last-{digest}.safetensors.{killed.pid}.{token}"]
    gone += [f".last.json.{killed.pid}"]  # as an earlier version named it
    kept = [f".last.json.{os.getpid()}.{token}", f".last-but-one.json.{killed.pid}.{token}", ".last.json.notes"]
    old = f".last.json.{os.getpid()}.{'b' * 16}"
    for name in (*gone, *kept, old):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / old, (0, 0))  # a number of a process may come again; after a day nobody writes any more
    save_checkpoint(tmp_path, "last", {"a": torch.tensor(1)}, {})
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set(kept)


def test_a_file_is_left_over_after_a_day(tmp_path: Path) -> None:
    file, now = tmp_path / f".last.json.{os.getpid()}", time.time()
    file.write_text("")
    for age, left_over in ((24 * 3600 - 10, False), (24 * 3600 + 10, True)):
        os.utime(file, (now - age, now - age))
        assert is_left_over(file, os.getpid()) == left_over


def test_on_windows_no_process_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(process: int, signal: int) -> None:
        raise AssertionError("signal 0 is Ctrl-C on Windows")

    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(os, "kill", ctrl_c)
    monkeypatch.setattr(os, "name", "nt")
    left_over = is_left_over(file, 2**22 + 1)
    monkeypatch.undo()  # before pathlib looks at the name
    assert not left_over


def test_what_another_process_takes_away_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / f"last-{'0' * 12}.safetensors"
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([gone]))
    take_away_old(tmp_path, "last", tmp_path / f"last-{'1' * 12}.safetensors")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_is_one_that_the_next_save_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("os.fsync", lambda _: seen.extend(path.name for path in tmp_path.iterdir()))
    write_whole(tmp_path / "last.json", b"content")
    assert len(seen) == 1
    assert re.fullmatch(rf"\.last\.json\.{os.getpid()}\.[0-9a-f]{{16}}", seen[0])


def test_files_can_be_read_by_whom_the_system_lets_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    path = save_checkpoint(tmp_path, "last", TENSORS, {})
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
