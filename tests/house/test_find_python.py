"""tools/find_python.sh takes the first Python that fits, or says in one line what was found and what helps."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fakes import fake_python

ROOT = Path(__file__).resolve().parents[2]


def find_python(folder: Path, *accepted: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run tools/find_python.sh where only the folder's Pythons can be found."""
    for tool in ("sed", "sh"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(str(shutil.which(tool)))
    command = ["/bin/sh", str(ROOT / "tools" / "find_python.sh"), *accepted]
    variables = {"PATH": str(folder), "HOME": str(folder), **variables}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


OLD = 'case "$2" in *ensurepip*) echo /old/python;; *) echo 3.9;; esac'
GOOD = 'case "$2" in *ensurepip*) echo /good/python;; *) echo 3.12;; esac'
WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1;; *) echo 3.12;; esac'
SHIM = "echo 'pyenv: command not found' >&2; exit 127"


def test_first_python_that_fits_is_taken(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", OLD)
    fake_python(tmp_path, "python3.13", SHIM)
    fake_python(tmp_path, "python3.12", GOOD)
    found = find_python(tmp_path)
    assert (found.returncode, found.stdout) == (0, "/good/python\n")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (OLD, "python3 is Python 3.9;"),
        (WITHOUT_VENV, "python3 is Python 3.12 without venv (on Debian: apt install python3.12-venv);"),
        (SHIM, "python3 does not run;"),
    ],
)
def test_unfit_python_is_named_with_its_fix(tmp_path: Path, script: str, says: str) -> None:
    fake_python(tmp_path, "python3", script)
    found = find_python(tmp_path)
    assert found.returncode != 0
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert "3.11 or 3.12 or 3.13 is needed" in found.stderr
    assert says in found.stderr
    assert "make PYTHON=" in found.stderr


def test_named_python_wins_and_is_not_replaced(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", GOOD)
    named = fake_python(tmp_path, "a named python", OLD.replace("3.9", "3.14"))
    found = find_python(tmp_path, PYTHON=str(named))
    assert found.returncode != 0
    assert f"{named} is Python 3.14;" in found.stderr


def test_one_version_can_be_asked_for(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", GOOD)
    assert find_python(tmp_path, "3.12").returncode == 0
    assert "python3 is Python 3.12;" in find_python(tmp_path, "3.13").stderr
