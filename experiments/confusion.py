"""Is the checker right? All implementations of tests/practice/collection, right and wrong ones, through `check`.

    python experiments/confusion.py            prints the confusion matrix, what is wrong, and the times
    python experiments/confusion.py --store    and stores them for the chapter, as cbam_lite/results/checks.csv

Two collections: "known" was at hand while the checker was written. "fresh" was written by others who did not know it.
The rows of "fresh, first" are those of a first measurement (--first), before anything that these showed was
mended; only they say how the checker does with what it has never met. They are kept, and what is written later joins
them by its own first measurement. (The judges of convolutions, blocks and insertion were written with `fresh_blocks.py`
in sight, so its rows are left out there.)
"""

import argparse
import importlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runs import ROOT, header, read_rows, write_rows

COLUMNS = ("collection", "like", "name", "key", "passed", "answered", "seconds")
COLLECTION = ROOT / "tests" / "practice" / "collection"
TABLE = ROOT / "cbam_lite" / "results" / "checks.csv"


def entries() -> list[Any]:
    """All implementations, in the order of the files."""
    module = importlib.import_module("collection.entries")
    for path in sorted(COLLECTION.glob("*_*.py")):
        importlib.import_module(f"collection.{path.stem}")
    return list(module.ENTRIES)


def checked(entry: Any) -> dict[str, Any]:
    """One row: what the checker says of one implementation, and how long it takes."""
    from cbam_lite import check

    start = time.perf_counter()
    answer = check(entry.thing, like=entry.like)
    seconds = f"{time.perf_counter() - start:.3f}"
    kind = entry.name.split("_", 1)[0]
    passed = int(answer.passed)
    values = (kind, entry.like, entry.name, entry.key or "right", passed, answer.key or "-", seconds)
    return dict(zip(COLUMNS, values, strict=True))


def verdict(row: dict[str, Any]) -> str:
    """Which column of the confusion matrix a row belongs to."""
    if row["key"] == "right":
        return "right accepted" if int(row["passed"]) else "right refused"
    if int(row["passed"]):
        return "wrong accepted"
    return (
        "wrong named"
        if row["answered"] == row["key"]
        else "wrong, other name"
        if row["answered"] != "-"
        else "wrong, no name"
    )


VERDICTS = ("right accepted", "right refused", "wrong named", "wrong, other name", "wrong, no name", "wrong accepted")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The confusion matrix: a line for each kind of thing, a column for each verdict."""
    counts = Counter((row["like"], verdict(row)) for row in rows)
    likes = list(dict.fromkeys(row["like"] for row in rows))
    lines = [f"{'':20}" + "".join(f"{name:>19}" for name in VERDICTS)]
    lines += [f"{like:20}" + "".join(f"{counts[like, name]:19}" for name in VERDICTS) for like in likes]
    return "\n".join(
        [*lines, f"{'all':20}" + "".join(f"{sum(counts[like, n] for like in likes):19}" for n in VERDICTS)]
    )


def report(rows: Sequence[dict[str, Any]]) -> None:
    for kind in dict.fromkeys(row["collection"] for row in rows):
        mine = [row for row in rows if row["collection"] == kind]
        print(f"\n{kind}: {len(mine)} implementations\n{table(mine)}")
    for row in rows:
        if verdict(row) not in ("right accepted", "wrong named"):
            found = f"{row['key']} -> {row['answered']}"
            print(f"{verdict(row):18} {row['collection']:6} {row['like']:18} {row['name']:50} {found}")
    print("\nseconds for each check")
    for like in dict.fromkeys(row["like"] for row in rows):
        spent = sorted(float(row["seconds"]) for row in rows if row["like"] == like)
        print(f"{like:20} median {spent[len(spent) // 2]:.2f}, longest {spent[-1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--like", help="only these, CBAM for example")
    parser.add_argument("--only", default="", help="only names that begin so, fresh_ for example")
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--first", action="store_true", help="store the fresh ones as the first measurement")
    given = parser.parse_args()
    rows = [checked(e) for e in entries() if given.like in (None, e.like) and e.name.startswith(given.only)]
    report(rows)
    if given.store or given.first:
        store(rows, given.first, TABLE)


def store(rows: list[dict[str, Any]], first: bool, path: Path) -> None:
    head = header("python experiments/confusion.py --store", "cpu")
    old = read_rows(path, head) if path.is_file() else []
    met = {row["name"] for row in old if row["collection"] == "fresh, first"}
    kept = old if first else [row for row in old if row["collection"] == "fresh, first"]
    if first:
        new = [row for row in rows if row["collection"] == "fresh" and row["name"] not in met]
        rows = [{**row, "collection": "fresh, first"} for row in new]
    both = sorted([*kept, *rows], key=lambda row: ("known", "fresh, first", "fresh").index(row["collection"]))
    write_rows(path, head, COLUMNS, both)


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(COLLECTION.parent))
    main()
