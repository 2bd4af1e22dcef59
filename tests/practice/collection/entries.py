"""Right and wrong implementations in many styles: what `check` is itself checked with.

`known_*.py` were at hand while the checker was written, `fresh_*.py` are by writers who did not know it. Twenty
labels of these have been replaced since by the checker's word for the same mistake; its first measurement has the
old ones.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One implementation: what it is like, and the key of its mistake ("" for a right one)."""

    like: str
    key: str
    thing: Any
    name: str


ENTRIES: list[Entry] = []


def right(like: str, style: str = "") -> Callable[[T], T]:
    """A right implementation; the style says in which way it differs from the usual one."""
    return wrong(like, "")


def wrong(like: str, key: str) -> Callable[[T], T]:
    """A wrong implementation, with the key of the one mistake that it has."""

    file = Path(sys._getframe(1).f_code.co_filename).stem
    file = Path(sys._getframe(2).f_code.co_filename).stem if file == "entries" else file

    def add(thing: T) -> T:
        name = f"{file}.{getattr(thing, '__name__', type(thing).__name__)}"
        twins = sum(entry.name.split("#")[0] == name for entry in ENTRIES)
        ENTRIES.append(Entry(like, key, thing, f"{name}#{twins + 1}" if twins else name))
        return thing

    return add
