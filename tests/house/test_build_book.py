"""The last build is reused where it is good and of this tree."""

import subprocess
from pathlib import Path
from typing import Any

import build_book
import pytest
import yaml


@pytest.fixture
def small_book(tmp_path: Path) -> Path:
    """What the fingerprint looks at, and a page of prose, which it does not."""
    for part in ("book/_ext/pages.py", "book/_ext/more.py", "requirements.txt", "_config.yml", "_toc.yml", "book/a.md"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_text(part)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("book/_ext/pages.py", True),
        ("book/_ext/new.py", True),
        ("requirements.txt", True),
        ("_config.yml", True),
        ("_toc.yml", True),
        ("book/a.md", False),
        ("cbam_lite/plot.py", False),  # Sphinx itself sees which page depends on it
        ("book/_ext/__pycache__/pages.pyc", False),
    ],
)
def test_fingerprint_changes_with_what_all_pages_depend_on(small_book: Path, part: str, counts: bool) -> None:
    before = build_book.fingerprint(small_book)
    (small_book / part).parent.mkdir(parents=True, exist_ok=True)
    (small_book / part).write_text("changed")
    assert (build_book.fingerprint(small_book) != before) == counts


def test_fingerprint_sees_a_removed_file(small_book: Path) -> None:
    before = build_book.fingerprint(small_book)
    (small_book / "book" / "_ext" / "more.py").unlink()
    assert build_book.fingerprint(small_book) != before


class JupyterBook:
    """Stands for the real one: notes whether it found the last build's cache, and ends with the status it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status = 0
        self.found_cache: list[bool] = []
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command: list[str], cwd: Path, check: bool) -> Any:
        assert "-W" in command
        cache = cwd / "_build" / ".doctrees"
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
    (small_book / "book" / "_ext" / "more.py").write_text("other code")
    build_book.build(small_book)
    build_book.build(small_book, fresh=True)
    assert jupyter_book.found_cache == [False, True, False, False]


def test_failed_build_fails_again(small_book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jupyter_book = JupyterBook(monkeypatch)
    jupyter_book.status = 1
    assert build_book.build(small_book) == 1
    assert build_book.build(small_book) == 1
    assert jupyter_book.found_cache == [False, False], "a cache of a failed build could hide the failure"


def test_no_notebook_is_run() -> None:
    config = yaml.safe_load((build_book.ROOT / "_config.yml").read_text())
    assert config["execute"] == {"execute_notebooks": "off"}
