"""The environment is complete or made anew; uv installs it, and pip where there is no uv."""

import subprocess
import sys
from pathlib import Path

import environment
import pytest
from fakes import fake_python


def test_environment_is_stamped_only_when_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CBAM_LITE_PIP", "1")
    folder, requirements = tmp_path / "venv", tmp_path / "list.txt"
    stamp = folder / "made-from"
    requirements.write_text("./missing.whl\n")
    with pytest.raises(subprocess.CalledProcessError):
        environment.ensure(folder, requirements, editable=False)
    assert not stamp.exists()

    requirements.write_text("")
    environment.ensure(folder, requirements, editable=False)
    assert stamp.exists()
    assert "Installing list.txt" in capfd.readouterr().out
    environment.ensure(folder, requirements, editable=False)
    assert capfd.readouterr().out == "", "the second run has nothing to do"

    requirements.write_text("# a changed list\n")
    environment.ensure(folder, requirements, editable=False)
    assert "Installing list.txt" in capfd.readouterr().out


def test_environment_of_another_python_is_not_reused(tmp_path: Path) -> None:
    assert environment.runs_this_python(Path(sys.executable))
    assert not environment.runs_this_python(fake_python(tmp_path, "python", "echo 3.10.1"))
    assert not environment.runs_this_python(tmp_path / "none")


class Installers:
    """Stand for uv and pip: note what is asked of them; those that are told to fail give status 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failing: str, uv_on_path: bool = True) -> None:
        self.asked: list[str] = []
        self.failing = failing
        monkeypatch.setattr(environment.shutil, "which", lambda name: "/bin/uv" if uv_on_path else None)
        monkeypatch.setattr(environment.subprocess, "run", self.run)
        monkeypatch.delenv("CBAM_LITE_PIP", raising=False)

    def run(self, command: list[str], check: bool, **_: object) -> "subprocess.CompletedProcess[str]":
        tool = "uv" if command[0].endswith("uv") else "pip"
        self.asked.append(f"{tool} {command[-1]}")
        if check and tool in self.failing:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, tool in self.failing)


def test_uv_installs_the_list_and_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    installers = Installers(monkeypatch)
    environment.install(Path("venv/bin/python"), Path("list.txt"), editable=True)
    assert installers.asked == ["uv list.txt", f"uv {environment.ROOT}"]


def test_uv_comes_in_the_version_of_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    installers = Installers(monkeypatch, uv_on_path=False)
    environment.install(Path("venv/bin/python"), Path("list.txt"), editable=False)
    assert installers.asked[0].startswith("pip uv==")
    assert installers.asked[1:] == ["uv list.txt"]


def test_pip_installs_where_uv_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    installers = Installers(monkeypatch, "uv")
    environment.install(Path("venv/bin/python"), Path("list.txt"), editable=False)
    assert installers.asked == ["uv list.txt", "pip list.txt"]
    assert "uv did not install it: trying pip" in capsys.readouterr().out


def test_pip_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    installers = Installers(monkeypatch)
    monkeypatch.setenv("CBAM_LITE_PIP", "1")
    environment.install(Path("venv/bin/python"), Path("list.txt"), editable=False)
    assert installers.asked == ["pip list.txt"]


def test_failure_of_both_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    Installers(monkeypatch, "uv", "pip", uv_on_path=False)
    with pytest.raises(subprocess.CalledProcessError):
        environment.install(Path("venv/bin/python"), Path("list.txt"), editable=False)
