"""The checker as a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cbam_lite.practice.__main__ import command, guessed

RIGHT = "from cbam_lite import CBAM\nprint('hello')\nclass MyCBAM(CBAM): pass\nbroken_cbam = None\n"


@pytest.fixture
def homework(tmp_path: Path) -> Path:
    file = tmp_path / "homework.py"
    file.write_text(RIGHT)
    return file


def test_right_and_wrong(homework: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([f"{homework}:MyCBAM"]) == 0
    assert capsys.readouterr().out.startswith("hello\nCBAM: passed\n")
    assert command([f"{homework}:broken_cbam", "--hint", "0"]) == 1
    assert "Hint" not in capsys.readouterr().out


def test_json_is_all_that_is_printed(homework: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([f"{homework}:MyCBAM", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["like"], found["passed"], found["key"]) == ("CBAM", True, "")
    assert command([f"{homework}:MyCBAM", "--json", "--like", "ECA"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("x = 1\n", "unfilled", "homework.py defines no MyCBAM; it has x"),
        ("1 / 0\n", "raises", "ZeroDivisionError"),
        ("def :\n", "raises", "SyntaxError"),
        ("while True: pass\n", "hangs", "the file was stopped after 0.2 s"),
    ],
)
def test_a_file_that_does_not_run(
    homework: Path, capsys: pytest.CaptureFixture[str], text: str, key: str, says: str
) -> None:
    homework.write_text(text)
    assert command([f"{homework}:MyCBAM", "--json", "--seconds", "0.2"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["key"] == key
    assert says in found["says"]


def test_wrong_calls(homework: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["nowhere.py:MyCBAM"], "is not FILE.py:NAME with a file that exists"),
        ([f"{homework}:thing"], "'thing' does not say what it is like: add --like CBAM"),
    ):
        with pytest.raises(SystemExit) as found:
            command(words)
        assert found.value.code == 2
        assert said in capsys.readouterr().err


def test_names_that_say_what_they_are_like() -> None:
    names = ["MyCBAM", "spatial_attention", "MySE", "my_box_iou", "GradCAM", "my_grad_cam_map", "Base", "se_block"]
    assert [guessed(name) for name in names] == [
        "CBAM", "spatial attention", "SE", "box IoU", "Grad-CAM", "Grad-CAM map", None, "SE",
    ]  # fmt: skip


def test_it_runs_as_a_module(homework: Path) -> None:
    words = [sys.executable, "-m", "cbam_lite.practice", f"{homework}:MyCBAM", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0
    assert json.loads(done.stdout)["passed"]
