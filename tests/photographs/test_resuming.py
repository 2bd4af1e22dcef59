"""What a long run leaves and finds: the table, the settings beside it, hashes and odd file names."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cbam_lite.photographs.resuming import checked_names, refuse_changes, resumed, ticking, weights_hash

SETTINGS = {"size": 64, "classes": ["a", "b"]}


def begun(folder: Path, text: bytes, settings: object = SETTINGS) -> tuple[Path, Path]:
    table, beside = folder / "t.csv", folder / "t.json"
    table.write_bytes(text)
    if settings is not None:
        beside.write_text(json.dumps(settings))
    return table, beside


def test_a_run_begins_with_an_empty_table_and_its_settings(tmp_path: Path) -> None:
    table, beside = tmp_path / "t.csv", tmp_path / "t.json"
    assert resumed(table, beside, SETTINGS) == set()
    assert table.read_bytes() == b""
    assert json.loads(beside.read_text()) == SETTINGS
    assert len(beside.read_text().splitlines()) > len(SETTINGS), "a line for each setting, for people"


def test_whole_rows_stay_and_half_a_row_goes(tmp_path: Path) -> None:
    table, beside = begun(tmp_path, b'path,class\na.png,x\n"b, c.png",y\nd.pn')
    assert resumed(table, beside, SETTINGS) == {"a.png", "b, c.png"}
    assert table.read_bytes() == b'path,class\na.png,x\n"b, c.png",y\n'


def test_a_heading_alone_is_of_no_run(tmp_path: Path) -> None:
    table, beside = begun(tmp_path, b"path,class\n", {"size": 32})
    assert resumed(table, beside, SETTINGS) == set()
    assert table.read_bytes() == b""
    assert json.loads(beside.read_text()) == SETTINGS


def test_names_that_are_no_text_are_known_again(tmp_path: Path) -> None:
    table, beside = begun(tmp_path, b"path,class\n\xff.png,x\n")
    assert resumed(table, beside, SETTINGS) == {"\udcff.png"}
    assert table.read_bytes() == b"path,class\n\xff.png,x\n"


def test_a_table_without_its_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    table, beside = begun(tmp_path, b"path,class\na.png,x\n", None)
    with pytest.raises(
        ValueError, match=r"t\.csv was made with size None, now 64; classes None, now \['a', 'b'\]: give"
    ):
        resumed(table, beside, SETTINGS)
    assert table.read_bytes() == b"path,class\na.png,x\n"


def test_only_what_changed_is_said() -> None:
    refuse_changes(Path("t.csv"), {**SETTINGS, "more": 1}, SETTINGS)
    said = r"^t\.csv was made with size 32, now 64: give another folder as out, or delete t\.csv to begin anew$"
    with pytest.raises(ValueError, match=said):
        refuse_changes(Path("t.csv"), SETTINGS | {"size": 32}, SETTINGS)


def test_a_hash_is_of_values_names_shapes_kinds_and_class() -> None:
    class Other(nn.Linear):
        pass

    def made(kind: type[nn.Linear] = nn.Linear, inside: int = 2, outside: int = 3) -> nn.Linear:
        layer = kind(inside, outside)
        with torch.no_grad():
            for values in layer.parameters():
                values.zero_()
        return layer

    models = [
        made(),
        made(Other),
        made(nn.Linear, 3, 2),
        made().half(),
        nn.Sequential(made()),
        made().bfloat16(),
        made(),
    ]
    with torch.no_grad():
        models[-1].bias[2] = 1e-30
    hashes = [weights_hash(model) for model in models]
    assert len(set(hashes)) == len(models)
    assert weights_hash(made()) == hashes[0]
    assert {len(one) for one in hashes} == {16}


def test_names_of_classes() -> None:
    assert checked_names(("a", "b")) == ["a", "b"]
    with pytest.raises(ValueError, match=r"^classes names one class twice: \['a', 'a'\]$"):
        checked_names(["a", "a"])
    for wrong in ("ab", 3, [1, "a"]):
        with pytest.raises(
            TypeError, match=r"^classes must be a list of names, got .*: data.classes of the training data$"
        ):
            checked_names(wrong)  # type: ignore[arg-type]


def test_the_bar_counts_photographs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(5, True) as tick:
        tick(3)
    shown = capsys.readouterr().err
    assert "3/5" in shown
    assert "image/s" in shown or "s/image" in shown
    with ticking(5, False) as tick:
        tick(3)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with ticking(5, True) as tick:
        tick(3)
    assert capsys.readouterr().err == ""
