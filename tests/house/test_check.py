"""The stages of `make test`."""

import re
import subprocess
from pathlib import Path

import check
import pytest

import cbam_lite

ROOT = Path(__file__).resolve().parents[2]


def test_stages_stop_at_the_first_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran = []

    def make(command: list[str], check: bool) -> "subprocess.CompletedProcess[str]":
        ran.append(command[-1])
        return subprocess.CompletedProcess(command, command[-1] == "unit")

    monkeypatch.setattr(subprocess, "run", make)
    with pytest.raises(SystemExit, match="make unit failed"):
        check.run(check.STAGES)
    assert ran == ["lint", "unit"]
    assert "together" in capsys.readouterr().out


@pytest.mark.parametrize("stage", check.STAGES)
def test_every_stage_is_a_target(stage: str) -> None:
    assert re.search(rf"^{stage}:", (ROOT / "Makefile").read_text(), re.M)


def test_reference_names_everything_that_is_exported() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "book" / "api").glob("*.md"))
    named = {name for line in re.findall(r":members: (.+)", pages) for name in line.split(", ")}
    assert set(cbam_lite.__all__) - {"__version__"} <= named
