"""The confusion matrix of the checker: what is counted where, and that the first measurement is kept."""

from pathlib import Path

import confusion
import pytest
from runs import read_rows


def row(collection: str = "known", key: str = "right", passed: int = 1, answered: str = "-") -> dict[str, object]:
    values = (collection, "SE", f"{collection}_{key}", key, passed, answered, "0.100")
    return dict(zip(confusion.COLUMNS, values, strict=True))


@pytest.mark.parametrize(
    ("key", "passed", "answered", "expected"),
    [
        ("right", 1, "-", "right accepted"),
        ("right", 0, "no_relu", "right refused"),
        ("no_relu", 0, "no_relu", "wrong named"),
        ("no_relu", 0, "tanh_gate", "wrong, other name"),
        ("no_relu", 0, "-", "wrong, no name"),
        ("no_relu", 1, "-", "wrong accepted"),
    ],
)
def test_verdicts(key: str, passed: int, answered: str, expected: str) -> None:
    one = row(key=key, passed=passed, answered=answered)
    assert confusion.verdict(one) == expected
    counts = confusion.table([one, one]).splitlines()[1].split()
    assert counts == ["SE", *("2" if name == expected else "0" for name in confusion.VERDICTS)]


def test_the_first_measurement_is_kept(tmp_path: Path) -> None:
    table = tmp_path / "checks.csv"
    confusion.store([row("fresh", passed=0), row()], True, table)
    confusion.store([row("fresh"), row()], False, table)
    lines = [line for line in table.read_text().splitlines() if line.startswith("#")]
    found = [(r["collection"], r["passed"]) for r in read_rows(table, lines)]
    assert found == [("known", "1"), ("fresh, first", "0"), ("fresh", "1")]


def test_the_report_lists_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    confusion.report([row(), row(key="no_relu", passed=1)])
    said = capsys.readouterr().out
    assert "known: 2 implementations" in said
    assert "wrong accepted     known  SE" in said
    assert "median 0.10, longest 0.10" in said
