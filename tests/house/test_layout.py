"""Who knows the page knows the folder: the parts of the book, the package, the tests and the reference agree."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = [part["caption"] for part in yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]]


def folders(root: Path) -> set[str]:
    """The names of the folders with Python files."""
    return {path.parent.name for path in root.glob("*/*.py")}


def test_package_has_the_parts_of_the_book() -> None:
    assert PARTS[-1] == "Reference"
    assert folders(ROOT / "cbam_lite") == {name.lower() for name in PARTS[:-1]}


def test_tests_mirror_the_package() -> None:
    assert folders(ROOT / "tests") == folders(ROOT / "cbam_lite") | {"book", "experiments", "house"}


def test_reference_has_the_same_parts() -> None:
    text = (ROOT / "book" / "api.md").read_text()
    assert re.findall(r"^## (.+)", text, re.M) == [*PARTS[:-1], "Results and pictures"]
    pages = [part.lower() for part in PARTS[:-1]] + ["results"]
    assert re.findall(r"\(api/(\w+)\.md\)", text) == pages
    reference = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"][-1]["chapters"]
    assert [chapter["file"] for chapter in reference[:-2]] == ["book/api", *(f"book/api/{page}" for page in pages)]


@pytest.mark.parametrize("page", sorted((ROOT / "book" / "api").glob("*.md")), ids=lambda page: page.stem)
def test_reference_page_links_to_chapters_of_its_part(page: Path) -> None:
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    chapters = {part["caption"].lower(): [chapter["file"] for chapter in part["chapters"]] for part in parts[:-1]}
    linked = {f"book/{name}" for name in re.findall(r"\(\.\./(\w+)\.(?:ipynb|md)\)", page.read_text())}
    assert set(chapters.get(page.stem, ())) <= linked
    assert linked <= {chapter for files in chapters.values() for chapter in files}


def test_files_are_short() -> None:
    """A file that needs a map is two files."""
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "cbam_lite").rglob("*.py")}
    lengths = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_each_part_says_in_which_order_it_is_read() -> None:
    for part in folders(ROOT / "cbam_lite"):
        folder = ROOT / "cbam_lite" / part
        listed = set(re.findall(r"`(\w+)`", (folder / "__init__.py").read_text()))
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert modules <= listed, f"cbam_lite/{part}/__init__.py does not name {modules - listed}"
