"""The house: one list of pins, one address, one version, and the tools behind `make book` and `make test`."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import address
import browser
import build_book
import check
import environment
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import cbam_lite

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def locked() -> list[Requirement]:
    """The lines of requirements.txt. Some packages have several, for different Pythons or platforms."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pin(line: Requirement) -> Version:
    return Version(str(line.specifier).removeprefix("=="))


# ---- one list of pins ------------------------------------------------------------------------------------------------


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
    assert re.search(r"\bmake (test|book|colab)\b", commands) or "tools/alone.py" in commands
    assert not re.search(r"pip install(?!.* -r requirements\.txt)", commands), "packages come by make, not by hand"


def test_pins_stand_nowhere_else() -> None:
    """A second list would drift. tools/colab.txt says why it is another one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    kinds = (".cfg", ".md", ".sh", ".toml", ".txt", ".yml", "Makefile", ".ci/run")
    pin = re.compile(r"[a-z][\w.-]*(\[\w+\])?==\d[\w.]*(?!\.?\*|\w)", re.I)
    pinned = [name for name in files if name.endswith(kinds) and pin.search((ROOT / name).read_text())]
    assert sorted(pinned) == ["requirements.txt", "tools/colab.txt", "tools/floor.txt"]


# ---- the light package -----------------------------------------------------------------------------------------------


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


# ---- one version, one address ----------------------------------------------------------------------------------------


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert str(citation["version"]) == released[0] == cbam_lite.__version__


def test_address_is_the_same_everywhere() -> None:
    repository = address.address()
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    site = "https://" + address.pages(*address.owner_and_name(repository)) + "/"
    assert config["repository"]["url"] == repository
    assert config["html"]["baseurl"] == config["sphinx"]["config"]["ogp_site_url"] == site
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == repository
    assert repository in (ROOT / "README.md").read_text()
    assert address.strays(ROOT) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the text files, as a repository of its own."""
    for path, _ in address.text_files(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def contents(root: Path) -> dict[Path, str]:
    return dict(address.text_files(root))


# A mention of another owner's cbam-lite would be a stray one, so the name stands apart here.
@pytest.mark.parametrize("url", ["https://github.com/a-b/" + "other.name", "https://github.com/me/" + "cbam-lite/"])
def test_address_is_rewritten_everywhere_and_back(tree: Path, url: str) -> None:
    before, old = contents(tree), address.address(tree)
    changed = {str(path.relative_to(tree)) for path in address.rewrite(tree, url)}
    notebooks = {f"book/{path.name}" for path in (ROOT / "book").glob("*.ipynb")}
    assert changed >= {"pyproject.toml", "_config.yml", "README.md", "CITATION.cff", *notebooks}
    assert address.address(tree) == url.removesuffix("/")
    assert address.strays(tree) == []
    assert [path for path, text in contents(tree).items() if "/".join(address.owner_and_name(old)) in text] == []
    address.rewrite(tree, old)
    assert contents(tree) == before


def test_longer_names_are_left_alone(tree: Path) -> None:
    owner, name = address.owner_and_name(address.address(tree))
    others = f"https://github.com/{owner}/{name}-two https://github.com/x{owner}/{name} {owner}/{name}."
    (tree / "others.md").write_text(others)
    address.rewrite(tree, "https://github.com/me/mine")
    assert (tree / "others.md").read_text() == others.replace(f" {owner}/{name}.", " me/mine.")


@pytest.mark.parametrize(
    "url", ["", "me/mine", "http://github.com/me/mine", "https://github.com/me", "https://x.org/a/b"]
)
def test_bad_address_changes_nothing(tree: Path, url: str) -> None:
    before = contents(tree)
    with pytest.raises(SystemExit, match="is not a repository address: make address URL="):
        address.rewrite(tree, url)
    assert contents(tree) == before


def test_strays_are_found(tree: Path) -> None:
    name = address.owner_and_name(address.address(tree))[1]
    (tree / "stray.md").write_text(f"see https://github.com/stranger/{name}")
    assert address.strays(tree) == [f"stray.md: github.com/stranger/{name}"]


# ---- finding a Python ------------------------------------------------------------------------------------------------


def fake_python(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


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


# ---- making the environment ------------------------------------------------------------------------------------------


def test_environment_is_stamped_only_when_complete(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
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


# ---- building the book -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_book(tmp_path: Path) -> Path:
    """What the fingerprint looks at, and a page of prose, which it does not."""
    for part in ("cbam_lite/cbam.py", "book/_ext/pages.py", "requirements.txt", "_config.yml", "_toc.yml", "book/a.md"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_text(part)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("cbam_lite/cbam.py", True),
        ("cbam_lite/new.py", True),
        ("book/_ext/pages.py", True),
        ("requirements.txt", True),
        ("_config.yml", True),
        ("_toc.yml", True),
        ("book/a.md", False),
        ("cbam_lite/__pycache__/cbam.pyc", False),
    ],
)
def test_fingerprint_changes_with_what_outputs_depend_on(small_book: Path, part: str, counts: bool) -> None:
    before = build_book.fingerprint(small_book)
    (small_book / part).parent.mkdir(exist_ok=True)
    (small_book / part).write_text("changed")
    assert (build_book.fingerprint(small_book) != before) == counts


def test_fingerprint_sees_a_removed_module(small_book: Path) -> None:
    before = build_book.fingerprint(small_book)
    (small_book / "cbam_lite" / "cbam.py").unlink()
    assert build_book.fingerprint(small_book) != before


class JupyterBook:
    """Stands for the real one: notes whether it found the last build's cache, and ends with the status it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status = 0
        self.found_cache: list[bool] = []
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command: list[str], cwd: Path, check: bool) -> Any:
        assert "-W" in command
        cache = cwd / "_build" / ".jupyter_cache"
        self.found_cache.append(cache.exists())
        cache.mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, self.status)


def test_last_build_is_reused_only_when_it_is_good_and_of_this_tree(
    small_book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jupyter_book = JupyterBook(monkeypatch)
    build_book.build(small_book)
    (small_book / "book" / "a.md").write_text("other words")
    build_book.build(small_book)
    (small_book / "cbam_lite" / "cbam.py").write_text("other code")
    build_book.build(small_book)
    build_book.build(small_book, fresh=True)
    assert jupyter_book.found_cache == [False, True, False, False]


def test_failed_build_fails_again(small_book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jupyter_book = JupyterBook(monkeypatch)
    jupyter_book.status = 1
    assert build_book.build(small_book) == 1
    assert build_book.build(small_book) == 1
    assert jupyter_book.found_cache == [False, False], "a cache of a failed build could hide the failure"


# ---- the browser and the stages --------------------------------------------------------------------------------------


def test_browser_that_does_not_start_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = fake_python(tmp_path, "chromium", "echo 'requires the chromium snap' >&2; exit 1")
    good = fake_python(tmp_path, "google-chrome", "echo Chrome 1")
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setattr(browser, "candidates", lambda: iter([str(stub), str(tmp_path / "none"), str(good)]))
    assert browser.installed() == str(good)
    good.unlink()
    assert browser.installed() is None


def test_named_browser_must_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="does not start: name the executable"):
        browser.installed()


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_missing_browser_fails_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, status: int
) -> None:
    tried: list[bool] = []
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(browser, "installed", lambda: None)
    monkeypatch.setattr(browser, "install", lambda: tried.append(True))
    assert browser.main() == status
    assert tried == [True]
    printed = capsys.readouterr()
    assert printed.out == "\n"
    assert "No browser was found" in printed.err


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


def test_reference_page_names_everything_that_is_exported() -> None:
    page = (ROOT / "book" / "api.md").read_text()
    named = {name for line in re.findall(r":members: (.+)", page) for name in line.split(", ")}
    assert set(cbam_lite.__all__) - {"__version__"} <= named
