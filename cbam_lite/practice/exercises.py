"""`check_answer("cbam", 2, parameters)`: the exercises of the chapters, their answers and three hints for each.

The answers stand in ``exercises/*.json``, one file for each chapter, so that the page does not show them. The
solutions in the chapters end with the same call, so CI recomputes every answer.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cbam_lite.checks import choose, whole
from cbam_lite.practice.answer import BOOK

TRUTH = {"yes": True, "true": True, "1": True, "1.0": True, "no": False, "false": False, "0": False, "0.0": False}
FOLDER = Path(__file__).parent / "exercises"


@lru_cache
def questions(chapter: str) -> dict[int, dict[str, Any]]:
    """The exercises of a chapter by their numbers: ``{"answer", "within", "hints", "section"}`` each."""
    chapters = sorted(path.stem for path in FOLDER.glob("*.json"))
    found = json.loads((FOLDER / f"{choose('chapter', chapter, chapters)}.json").read_text(encoding="utf-8"))
    return {int(number): question for number, question in found.items()}


def plain(value: Any) -> Any:
    """Tensors, arrays and NumPy's numbers as Python's; tuples as lists; text that is a number as that number."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    if isinstance(value, Tensor | np.ndarray):
        value = value.squeeze().tolist()  # axes of size 1 say nothing
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        try:
            return int(value) if value.strip().isdigit() else float(value)
        except ValueError:
            return value.strip()
    return [plain(entry) for entry in value] if isinstance(value, list | tuple | set) else value


def fitted(value: Any, answer: Any) -> Any:
    """The value in the form of the answer, where it says the same: rows of one, 0 and 1 for False and True, nesting."""
    while isinstance(value, list) and len(value) == 1 and not (isinstance(answer, list) and len(answer) == 1):
        value = value[0]
    if isinstance(answer, list):
        flat = list(leaves(value)) if not any(isinstance(part, list) for part in answer) else value
        same = isinstance(flat, list) and len(flat) == len(answer)
        return [fitted(v, a) for v, a in zip(flat, answer, strict=True)] if same else value
    if isinstance(answer, bool) and isinstance(value, str | int | float):
        return TRUTH.get(str(value).lower(), value)
    if isinstance(answer, str) and isinstance(value, str) and answer.lower() in value.lower().replace(".", " ").split():
        return answer
    return value


def leaves(value: Any) -> Iterator[Any]:
    """The values of nested lists, one after the other."""
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def has_form(value: Any, answer: Any) -> bool:
    """Whether the value is of the kind that is asked, whatever it says."""
    if isinstance(answer, list):
        return isinstance(value, list) and len(value) == len(answer) and all(map(has_form, value, answer))
    if isinstance(answer, bool | str):
        return type(value) is type(answer)
    return isinstance(value, int | float) and not isinstance(value, bool)


def agrees(value: Any, answer: Any, within: float | None) -> bool:
    """Equal in words (case aside) and truth values; numbers up to `within`, relative to them.

    Without `within` whole numbers are exact, and others need three digits.
    """
    if isinstance(answer, list):
        return all(agrees(v, a, within) for v, a in zip(value, answer, strict=True))
    if isinstance(answer, str):
        return bool(value.lower() == answer.lower())
    if isinstance(answer, bool) or (isinstance(answer, int) and within is None):
        return bool(value == answer)
    within = 1e-3 if within is None else within
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


@dataclass(frozen=True, repr=False)
class Said:
    """What `check_answer` says: printed, it is the text; `passed` and ``bool()`` say whether the answer is right."""

    passed: bool
    text: str

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
    found = fitted(plain(answer), question["answer"])
    if not has_form(found, question["answer"]):
        asked = f"the form is not the one asked, so it is neither right nor wrong. Asked: {kind(question['answer'])}."
        return Said(False, f"Exercise {number}: {asked} You gave {plain(answer)!r:.80}.")
    if agrees(found, question["answer"], question.get("within")):
        return Said(True, f"Exercise {number}: right.")
    more = hints or f" hint=1 gives a hint; the section to read again: {link_of(question, chapter)}"
    return Said(False, f"Exercise {number}: not yet. {found!r:.80} is not the answer{parts(found, question)}.{more}")


def parts(found: Any, question: Mapping[str, Any]) -> str:
    """How many parts of an answer are right, where there are numbers or words; True and False could be guessed."""
    answer = question["answer"]
    if not isinstance(answer, list) or all(isinstance(part, bool) for part in answer):
        return ""
    right = sum(agrees(v, a, question.get("within")) for v, a in zip(found, answer, strict=True))
    return f": {right} of {len(answer)} parts are right"


def link_of(question: Mapping[str, Any], chapter: str) -> str:
    return f"{BOOK}book/{chapter}.html#{question.get('section', '')}".rstrip("#")
