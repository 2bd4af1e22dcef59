"""One address and one version, the same wherever they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import address
import pytest
import yaml

import cbam_lite

ROOT = Path(__file__).resolve().parents[2]


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert str(citation["version"]) == released[0] == cbam_lite.__version__


def test_address_is_the_same_everywhere() -> None:
    repository = address.address()
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    site = "https://" + address.pages(*address.owner_and_name(repository)) + "/"
    assert (config["repository"]["url"], config["repository"]["branch"]) == (repository, address.ref())
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


def test_branch_or_tag_is_rewritten_everywhere_and_back(tree: Path) -> None:
    before, url = contents(tree), address.address(tree)
    changed = {str(path.relative_to(tree)) for path in address.rewrite(tree, url, "v2026.1")}
    notebooks = {f"book/{path.name}" for path in (ROOT / "book").glob("*.ipynb")}
    assert changed == {"pyproject.toml", "_config.yml", "README.md", *notebooks}
    assert address.ref(tree) == "v2026.1"
    assert f"{url}@v2026.1" in (tree / "book" / "cbam.ipynb").read_text()
    assert "/blob/main/" not in (tree / "README.md").read_text()
    assert yaml.safe_load((tree / "_config.yml").read_text())["repository"]["branch"] == "v2026.1"
    address.rewrite(tree, url, "main")
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
