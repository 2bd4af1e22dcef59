"""One list of pins, which every way of installing takes; a light package with lower bounds only."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def locked() -> list[Requirement]:
    """The lines of requirements.txt. Some packages have several, for different Pythons or platforms."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pin(line: Requirement) -> Version:
    return Version(str(line.specifier).removeprefix("=="))


@pytest.mark.parametrize("group", ["run time", "book", "test"])
def test_every_dependency_is_locked_and_fits(group: str) -> None:
    lines = PROJECT["dependencies"] if group == "run time" else PROJECT["optional-dependencies"][group]
    for requirement in map(Requirement, lines):
        pins = [pin(line) for line in locked() if canonicalize_name(line.name) == canonicalize_name(requirement.name)]
        assert pins, f"{requirement.name} is not in requirements.txt: run `make lock`"
        assert list(requirement.specifier.filter(pins, prereleases=True)) == pins, f"{requirement}: run `make lock`"


def test_the_lock_is_what_is_installed() -> None:
    here = [line for line in locked() if line.marker is None or line.marker.evaluate()]
    # A local part, as in 2.0+cpu, says how a wheel was built, not which version it is.
    installed = {line.name: Version(installed_version(line.name)).public for line in here}
    assert installed == {line.name: pin(line).public for line in here}


def test_conda_installs_the_same_list() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert conda[-1] == {"pip": ["--requirement requirements.txt", "--editable ."]}
    assert [name.split("=")[0] for name in conda[:-1]] == ["python", "pip"], "conda brings Python, the lock the rest"


def test_make_installs_the_same_list() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "tools/environment.py .venv requirements.txt --editable" in makefile
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith("#")]
    assert commands[-1] == "make test"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_install_by_make(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    by_make = re.search(r"\bmake (test|book|colab|types|graders)\b", commands)
    assert by_make or "pip wheel" in commands or "tools/alone.py" in commands
    assert not re.search(r"pip install(?!.* -r requirements\.txt)", commands), "packages come by make, not by hand"


def test_pins_stand_nowhere_else() -> None:
    """A second list would drift. The three in tools/ say why they are other ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    kinds = (".cfg", ".md", ".sh", ".toml", ".txt", ".yml", "Makefile", ".ci/run")
    pin = re.compile(r"[a-z][\w.-]*(\[\w+\])?==\d[\w.]*(?!\.?\*|\w)", re.I)
    pinned = [name for name in files if name.endswith(kinds) and pin.search((ROOT / name).read_text())]
    assert sorted(pinned) == ["requirements.txt", "tools/colab.txt", "tools/floor.txt", "tools/graders.txt"]


def test_package_needs_three_others_with_lower_bounds_only() -> None:
    requirements = [Requirement(line) for line in PROJECT["dependencies"]]
    assert {requirement.name for requirement in requirements} == {"torch", "numpy", "matplotlib"}
    assert {bound.operator for requirement in requirements for bound in requirement.specifier} == {">="}


def modules_imported_at_once(tree: ast.AST) -> set[str]:
    """Top-level packages that an import of the module imports: all but those inside functions."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return set()
    if isinstance(tree, ast.Import):
        return {alias.name.split(".")[0] for alias in tree.names}
    if isinstance(tree, ast.ImportFrom):
        return {"cbam_lite" if tree.level else str(tree.module).split(".")[0]}
    return set().union(*map(modules_imported_at_once, ast.iter_child_nodes(tree)))


@pytest.mark.parametrize("path", sorted((ROOT / "cbam_lite").glob("*.py")), ids=lambda path: path.stem)
def test_module_imports_nothing_else(path: Path) -> None:
    allowed = {"cbam_lite", "torch", "numpy", "matplotlib", *sys.stdlib_module_names}
    if path.stem == "kernels":  # which `import cbam_lite` does not import; see test_fused
        allowed.add("triton")
    assert modules_imported_at_once(ast.parse(path.read_text())) <= allowed


def test_imports_are_seen_in_classes_and_branches_but_not_in_functions() -> None:
    text = "import a.b\nclass C:\n  from d import e\nif x:\n  import f\ndef g():\n  import h"
    assert modules_imported_at_once(ast.parse(text)) == {"a", "d", "f"}
