"""The checker checked: every right implementation passes, every wrong one is refused, nine in ten by their names."""

from collections import Counter
from typing import Any

import confusion
import pytest

from cbam_lite import read_checks
from cbam_lite.practice.judging import JUDGES, mistakes

ENTRIES = confusion.entries()
STORED = {row.name: row for row in read_checks() if row.collection != "fresh, first"}


# The tests of the single judges ask for the label of each of these.
ASKED_ELSEWHERE = {
    *("channel", "channel_more", "blocks", "blocks_more", "blocks_wrong", "insertion"),
    *("maps", "end_to_end", "measures", "averages", "hand"),
}
ELSEWHERE = {e.name for e in ENTRIES if e.name.split(".")[0].removeprefix("known_") in ASKED_ELSEWHERE}


def test_what_is_asked_elsewhere_is_stored_with_its_label() -> None:
    assert len(ELSEWHERE) > 400
    for entry in ENTRIES:
        if entry.name in ELSEWHERE:
            stored = STORED[entry.name]
            assert (stored.passed, stored.answered) == (int(entry.key == ""), entry.key or "-"), entry.name


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.name not in ELSEWHERE], ids=lambda entry: entry.name)
def test_the_answer_is_right_and_the_stored_one(entry: Any) -> None:
    row = confusion.checked(entry)
    assert row["passed"] == (entry.key == ""), row
    stored = STORED[entry.name]
    assert (row["key"], row["passed"], row["answered"]) == (stored.key, stored.passed, stored.answered)


def test_the_stored_table_holds_these_and_no_others() -> None:
    assert sorted(STORED) == sorted(entry.name for entry in ENTRIES)
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES), "two implementations of one name"


def test_the_collection_is_large_and_nine_in_ten_are_named() -> None:
    kinds = Counter(entry.key == "" for entry in ENTRIES)
    assert kinds[True] >= 30
    assert kinds[False] >= 60
    named = [row.answered == row.key for row in STORED.values() if row.key != "right"]
    assert sum(named) >= 0.9 * len(named)
    assert {entry.like for entry in ENTRIES} == set(JUDGES), "each judge meets right and wrong ones"


def test_the_founding_mistakes_are_among_them() -> None:
    keys = {entry.key for entry in ENTRIES}
    assert {"pool_of_size_1", "relu_before_sigmoid", "projection_on_every_shortcut"} <= keys


def test_every_label_of_the_known_ones_has_words() -> None:
    known = [entry for entry in ENTRIES if entry.name.startswith("known_") and entry.key]
    assert {(entry.like, entry.key) for entry in known if entry.key not in {*mistakes(entry.like), "unfilled"}} == set()


def test_the_first_measurement_is_kept() -> None:
    """Only it says how the checker does with implementations that it has never met."""
    first = read_checks(collection="fresh, first")
    assert len(first) >= 90
    assert {row.key for row in first} > {"right"}
