"""A browser that starts is found, or its absence is said; in CI it is a failure."""

from pathlib import Path

import browser
import pytest
from fakes import fake_python


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
