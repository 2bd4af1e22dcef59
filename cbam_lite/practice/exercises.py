"""`check_answer("cbam", 2, parameters)`: the exercises of the chapters, their answers and three hints for each.

The answers stand in ``exercises/*.json``, one file for each chapter, so that the page does not show them. The
solutions in the chapters end with the same call, so CI recomputes every answer.
"""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cbam_lite.checks import choose, whole
from cbam_lite.practice.answer import BOOK

FOLDER = Path(__file__).parent / "exercises"


@lru_cache
def questions(chapter: str) -> dict[int, dict[str, Any]]:
    """The exercises of a chapter by their numbers: ``{"answer": ..., "within": ..., "hints": [...]}`` each."""
    chapters = sorted(path.stem for path in FOLDER.glob("*.json"))
    found = json.loads((FOLDER / f"{choose('chapter', chapter, chapters)}.json").read_text(encoding="utf-8"))
    return {int(number): question for number, question in found.items()}


def plain(value: Any) -> Any:
    """Tensors, arrays and NumPy's numbers as Python's; tuples as lists."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple | set) else value


def agrees(value: Any, answer: Any, within: float) -> bool:
    """Equal in words (case aside), in truth values, in whole numbers; other numbers up to `within`, relative to 1."""
    if isinstance(answer, list):
        same = isinstance(value, list) and len(value) == len(answer)
        return same and all(agrees(v, a, within) for v, a in zip(value, answer, strict=True))
    if isinstance(answer, bool) or isinstance(value, bool):
        return isinstance(answer, bool) and isinstance(value, bool) and value == answer
    if isinstance(answer, str):
        return isinstance(value, str) and value.strip().lower() == answer.lower()
    if not isinstance(value, int | float):
        return False
    return math.isclose(value, answer, rel_tol=within, abs_tol=within * 1e-3)


def missing(answer: Any) -> bool:
    """Whether there is no answer yet, or a part of it is still ``...``."""
    return answer is None or answer is ... or (isinstance(answer, list | tuple) and any(map(missing, answer)))


def kind(answer: Any) -> str:
    """What the answer should be, in words."""
    if isinstance(answer, list):
        kinds = [kind(part) for part in answer]
        return f"{len(kinds)} values, {kinds[0]} each" if len(set(kinds)) == 1 else ", then ".join(kinds)
    return {bool: "True or False", str: "a word", int: "a whole number"}.get(type(answer), "a number")


class Said:
    """What `check_answer` says: printed, it is the text; `passed` and ``bool()`` say whether the answer is right."""

    def __init__(self, passed: bool, text: str) -> None:
        self.passed, self.text = passed, text

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.text


def check_answer(chapter: str, number: int, answer: Any = ..., *, hint: int = 0) -> Said:
    """Is this the answer to an exercise of a chapter? It says so, and gives up to three hints.

    Args:
        chapter: the name of the chapter's notebook, "cbam" for example.
        number: of the exercise.
        answer: yours: a number, True or False, a word, or a list, tuple, array or tensor of them. ``...`` stands for
            an answer that is not there yet.
        hint: how many of the three hints to show.

    Returns:
        What was found. Printed, it is a sentence; `passed` is True for the right answer, and so is ``bool()`` of it.

    Raises:
        ValueError: there is no such chapter, or it has no such exercise with an answer to check.

    Example:
        >>> check_answer("cbam", 2, ...)
        Exercise 2: put your answer in place of `...` (a whole number), and run the cell again. hint=1 gives a hint.
    """
    known = questions(chapter)
    if whole("number", number, 1) not in known:
        raise ValueError(f"chapter {chapter!r} checks the exercises {', '.join(map(str, sorted(known)))}, not {number}")
    question, hint = known[number], whole("hint", hint, 0, 3)
    hints = "".join(f"\n  Hint {n}: {text}" for n, text in enumerate(question["hints"][:hint], 1))
    if missing(answer):
        wanted = f"put your answer in place of `...` ({kind(question['answer'])}), and run the cell again."
        return Said(False, f"Exercise {number}: {wanted}{hints or ' hint=1 gives a hint.'}")
    if agrees(plain(answer), question["answer"], question.get("within", 1e-3)):
        return Said(True, f"Exercise {number}: right.")
    found = str(plain(answer))
    more = hints or f" hint=1 gives a hint; read again: {BOOK}book/{chapter}.html#exercises"
    return Said(False, f"Exercise {number}: not yet. {found:.80} is not the answer ({kind(question['answer'])}).{more}")
