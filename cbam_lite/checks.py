"""Arguments: each check gives the value back, or an error that says what was wrong and how to fix it."""

import difflib
from collections.abc import Iterable

# ---- checks: each error says what was wrong and how to fix it -------------------------------------------------------


def choose(name: str, value: str, options: Iterable[str]) -> str:
    """The value if it is one of the options, else an error that lists them."""
    options = tuple(options)
    if value in options:
        return value
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, options))}{hint}")


def positive_int(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")
    return value
