"""The answers to the exercises: the chapters and the files agree, and an answer is judged as a teacher would."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cbam_lite import check_answer
from cbam_lite.practice import exercises
from cbam_lite.practice.exercises import FOLDER, agrees, kind, plain
from cbam_lite.practice.judging import JUDGES

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(path.stem for path in FOLDER.glob("*.json"))
CALL = re.compile(r'check_answer\(\s*"(\w+)",\s*(\d+)')


def cells(chapter: str, tag: str) -> list[str]:
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if tag in c["metadata"].get("tags", ())]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_answer_is_asked_for_once_and_recomputed_once(chapter: str) -> None:
    known = [(chapter, str(number)) for number in exercises.questions(chapter)]
    asked = [call for text in cells(chapter, "exercise") for call in CALL.findall(text)]
    solved = [call for text in cells(chapter, "solution") for call in CALL.findall(text)]
    assert asked == solved == known
    for text in cells(chapter, "solution"):
        assert text.count("assert check_answer(") == len(CALL.findall(text)), "the solution must assert its answer"


EXERCISED = sorted(path.stem for path in BOOK.glob("*.ipynb") if path.stem != "welcome")
JUDGED = re.compile(r'check\(\w+, like="([\w -]+)"')


@pytest.mark.parametrize("chapter", EXERCISED)
def test_each_implementation_asked_for_is_solved_and_checked(chapter: str) -> None:
    asked = {like for text in cells(chapter, "exercise") for like in JUDGED.findall(text)}
    solved = {like for text in cells(chapter, "solution") for like in JUDGED.findall(text)}
    assert asked <= solved


@pytest.mark.parametrize("chapter", EXERCISED)
def test_each_exercise_is_something_to_do(chapter: str) -> None:
    """Each has a mark, a cell to fill in and a folded solution; they go from easy to hard, and one is open."""
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text())
    prose = "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")
    marks = re.findall(r"^\*\*Exercise \d+\.\*\* \((\w+)", prose, re.M)
    assert len(marks) == len(cells(chapter, "exercise")) == len(cells(chapter, "solution")) >= 5
    grades = [("easy", "medium", "hard").index(mark) for mark in marks if mark != "open"]
    assert marks.count("open") == 1
    assert grades == sorted(grades) or chapter == "coursework", "only the coursework follows the order of the book"


def test_each_judge_is_asked_by_an_exercise() -> None:
    texts = [text for chapter in EXERCISED for text in cells(chapter, "exercise")]
    assert {like for text in texts for like in JUDGED.findall(text)} == set(JUDGES)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_answer_has_three_hints_that_do_not_tell_it(chapter: str) -> None:
    for number, question in exercises.questions(chapter).items():
        assert set(question) <= {"answer", "within", "hints", "section"}, number
        hints = question["hints"]
        assert len(set(hints)) == 3, number
        assert all(hint[-1] in ".?!" for hint in hints), number
        assert 0 <= question.get("within", 1e-3) <= 0.5, number
        assert agrees(question["answer"], question["answer"], question.get("within")), number


@pytest.mark.parametrize(
    ("value", "answer", "within", "expected"),
    [
        (610, 610, None, True),
        (611, 610, None, False),
        (611, 610, 0.01, True),
        (610.0, 610, None, True),
        (0.4999, 0.5, None, True),
        (0.51, 0.5, None, False),
        (0, 0.0, None, True),
        (1e-7, 0.0, None, True),
        (0.1, 0.0, None, False),
        (True, True, None, True),
        (False, True, None, False),
        ("Average", "average", None, True),
        ("maximum", "average", None, False),
        ([0.5, 0.5], [0.5, 0.5], None, True),
        ([0.5, 0.6], [0.5, 0.5], None, False),
        (float("nan"), 0.5, 0.5, False),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], None, True),
    ],
)
def test_what_counts_as_the_answer(value: Any, answer: Any, within: float | None, expected: bool) -> None:
    assert agrees(value, answer, within) is expected


@pytest.mark.parametrize(
    ("chapter", "number", "answer"),
    [
        ("cbam", 1, torch.tensor([[0.5, 0.5]])),
        ("cbam", 1, np.full((1, 2, 1, 1), 0.5)),
        ("cbam", 1, ["0.500", "0.500"]),
        ("cbam", 2, "610"),
        ("cbam", 2, [610]),
        ("cbam", 2, torch.tensor([610])),
        ("cbam", 3, (0, 1)),
        ("cbam", 3, torch.tensor([0, 1])),
        ("cbam", 3, ("no", "Yes")),
        ("squeeze_excitation", 2, (2514944, 2530992, "without biases")),
        ("gradcam", 2, ((True, False, True), (True, True))),
        ("gradcam", 1, (0.145, "fc.bias")),
    ],
)
def test_the_right_answer_in_another_form_is_right(chapter: str, number: int, answer: Any) -> None:
    assert check_answer(chapter, number, answer).passed, check_answer(chapter, number, answer)


@pytest.mark.parametrize(
    ("number", "answer", "said"),
    [
        (
            2,
            "many",
            "Exercise 2: the form is not the one asked, so it is neither right nor wrong. Asked: a whole number.",
        ),
        (2, [610, 610], "You gave [610, 610]."),
        (2, True, "You gave True."),
        (1, 0.5, "Asked: 2 values, a number each. You gave 0.5."),
        (3, ("a", "b"), "Asked: 2 values, True or False each."),
    ],
)
def test_another_form_is_neither_right_nor_wrong(number: int, answer: Any, said: str) -> None:
    found = check_answer("cbam", number, answer)
    assert not found.passed
    assert said in repr(found)


def test_how_many_parts_are_right() -> None:
    said = repr(check_answer("squeeze_excitation", 2, (2514944, 2530992, "with")))
    assert "is not the answer: 2 of 3 parts are right." in said
    assert "parts" not in repr(check_answer("cbam", 3, (True, True))), "True and False could be guessed"


def test_answers_may_be_tensors_arrays_and_numbers_of_either() -> None:
    weights = torch.tensor([0.5, 0.5], requires_grad=True)
    assert plain((weights, np.array([1, 2]), np.float32(0.5), torch.tensor(True))) == [[0.5, 0.5], [1, 2], 0.5, True]
    assert plain((" 12 ", "0.5", " Average ")) == [12, 0.5, "Average"]
    assert check_answer("cbam", 1, weights).passed
    assert check_answer("cbam", 3, (np.bool_(False), torch.tensor(True))).passed


def test_it_says_what_is_missing_and_gives_hints() -> None:
    said = check_answer("cbam", 2, ...)
    assert not said.passed
    assert not said
    assert repr(said) == (
        "Exercise 2: put your answer in place of `...` (a whole number), and run the cell again. hint=1 gives a hint."
    )
    assert repr(check_answer("cbam", 1, (..., 0.5))).startswith(
        "Exercise 1: put your answer in place of `...` (2 values"
    )
    hints = exercises.questions("cbam")[2]["hints"]
    assert [hint in repr(check_answer("cbam", 2, ..., hint=2)) for hint in hints] == [True, True, False]


def test_a_wrong_answer_is_not_told_the_right_one() -> None:
    said = check_answer("cbam", 2, 2**70)
    assert not said.passed
    assert repr(said).startswith("Exercise 2: not yet. 1180591620717411303424 is not the answer.")
    assert "610" not in repr(said)
    assert repr(check_answer("cbam", 2, 610)) == "Exercise 2: right."


def test_words_for_what_is_wanted() -> None:
    found = [kind(answer) for answer in (True, "a", 1, 0.5, [1.5, 2.5], [5, True])]
    assert found[:4] == ["True or False", "a word", "a whole number", "a number"]
    assert found[4:] == ["2 values, a number each", "a whole number, then True or False"]


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match=r"chapter='cbm' is not one of .*did you mean 'cbam'\?"):
        check_answer("cbm", 1, 2)
    with pytest.raises(ValueError, match=r"chapter 'cbam' checks the exercises 1, 2, 3, 4, not 99"):
        check_answer("cbam", 99, 2)
    with pytest.raises(ValueError, match="hint=4 must be at most 3"):
        check_answer("cbam", 1, 2, hint=4)
