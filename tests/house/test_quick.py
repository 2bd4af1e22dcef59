"""`make quick` runs the tests of what changed."""

import subprocess
from pathlib import Path

import pytest
import quick


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("cbam_lite/attention/cbam.py", ["tests/attention/test_cbam.py"]),
        ("cbam_lite/attention/inputs.py", ["tests/attention"]),  # no test of that name: all of the folder
        ("cbam_lite/networks/weight_names.py", ["tests/networks"]),
        ("cbam_lite/attention/__init__.py", ["tests/house/test_import.py", "tests/house/test_layout.py"]),
        ("cbam_lite/plot.py", ["tests/test_plot.py", "tests/test_plot_artists.py"]),
        ("cbam_lite/version.py", []),
        ("tests/networks/test_cost.py", ["tests/networks/test_cost.py"]),
        ("tests/attention/reference.py", ["tests/attention"]),
        ("tests/book/site/test_site.py", []),
        ("tests/networks/test_gone.py", []),
        ("book/cbam.ipynb", ["tests/book/test_notebooks.py"]),
        ("book/glossary.md", []),
        ("experiments/cifar.py", ["tests/experiments"]),
        ("tools/quick.py", ["tests/house/test_quick.py"]),
        ("Makefile", ["tests/house"]),
    ],
)
def test_tests_of_a_file(path: str, tests: list[str]) -> None:
    assert quick.tested_by(path, quick.ROOT) == tests


def test_every_module_of_a_part_is_tested_by_something() -> None:
    modules = [path.relative_to(quick.ROOT).as_posix() for path in (quick.ROOT / "cbam_lite").glob("*/*.py")]
    assert [path for path in modules if not quick.tested_by(path, quick.ROOT)] == []


def test_changed_files_are_those_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "ROOT", tmp_path)
    for name in ("same", "edited"):
        (tmp_path / name).write_text("old")
    commands = ("init --quiet", "add .", "-c user.name=me -c user.email=me@x commit --quiet -m one")
    for command in commands:
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "edited").write_text("new")
    (tmp_path / "added").write_text("new")
    assert quick.changed() == ["added", "edited"]


def test_what_takes_too_long_does_not_pass() -> None:
    with pytest.raises(SystemExit, match="more than 60 seconds: run `make test`"):
        quick.run(("timeit", "-n1", "-r1", "import time; time.sleep(9)"), left=0.2)


def test_what_fails_does_not_pass() -> None:
    with pytest.raises(SystemExit, match="no_such_tool failed"):
        quick.run(("no_such_tool",), left=9)
