"""`check`: which judge is asked, what an answer says, and that every known mistake is told in full."""

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import cbam_lite
from cbam_lite import CBAM, check
from cbam_lite.practice.answer import BOOK, Answer, Mistake
from cbam_lite.practice.judging import CLASSES, GENERAL, JUDGES, NOT_MET, mistakes
from cbam_lite.practice.trial import Refused, Trial

BOOK_FOLDER = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A judge for "SE" that accepts 1, refuses 2 with a name and all else without one."""

    def judged(trial: Trial, thing: Any) -> str:
        trial.tries("it is small")
        trial.tries("it is 1")
        if thing == 1:
            return "as printed"
        raise Refused("small_mistake" if thing == 2 else "", f"it is {thing}")

    mistake = Mistake("it is too large by one", ("look", "count", "subtract"), "book/cbam.html#which-channels")
    monkeypatch.setitem(JUDGES, "SE", (judged, {"small_mistake": mistake}))


@pytest.mark.usefixtures("judge")
def test_a_right_thing() -> None:
    answer = check(1, like="SE")
    assert answer
    assert answer.passed
    assert str(answer) == repr(answer) == "SE: passed\n  ok  it is small\n  ok  it is 1\n  Convention: as printed"


@pytest.mark.usefixtures("judge")
def test_a_known_mistake() -> None:
    answer = check(2, like="SE")
    assert not answer
    assert not answer.passed
    assert str(answer).splitlines() == [
        "SE: not yet",
        "  ok  it is small",
        "  NO  it is 1",
        "  it is 2",
        "  The mistake: it is too large by one.",
        "  Hint 1: look",
        f"  Read again: {BOOK}book/cbam.html#which-channels",
    ]
    assert check(2, like="SE", hint=3).hints == ("look", "count", "subtract")
    assert check(2, like="SE", hint=0).hints == ()


@pytest.mark.usefixtures("judge")
def test_a_mistake_without_a_name() -> None:
    answer = check(3, like="SE")
    assert (answer.key, answer.mistake, answer.hints, answer.link) == ("", "", (), "")
    assert answer.says == "it is 3"


def test_a_fault_of_the_check_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trial: Trial, thing: Any) -> str:
        return {}["nothing"]

    monkeypatch.setitem(JUDGES, "SE", (broken, {}))
    answer = check(1, like="SE")
    assert not answer.passed
    assert answer.says == f"{NOT_MET} KeyError: 'nothing', in the line `return {{}}[\"nothing\"]`"


@pytest.mark.parametrize("thing", [None, ...])
@pytest.mark.parametrize("like", JUDGES)
def test_nothing_to_check_yet(like: str, thing: Any) -> None:
    answer = check(thing, like=like)
    assert (answer.passed, answer.key) == (False, "unfilled")
    assert "replace `...` by your code" in str(answer)
    assert len(set(check(thing, like=like, hint=3).hints)) == 3


@pytest.mark.usefixtures("judge")
def test_our_classes_stand_for_the_words() -> None:
    assert check(1, like=cbam_lite.SqueezeExcitation).like == "SE"
    for name, like in CLASSES.items():
        assert isinstance(getattr(cbam_lite, name), type)
        assert like in JUDGES
    assert check(None, like=CBAM).like == check(None, like="cbam").like == check(None, like=CBAM(16)).like == "CBAM"


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"like='CBAN' is not one of .*; did you mean 'CBAM'\?"):
        check(nn.Identity(), like="CBAN")
    with pytest.raises(ValueError, match="hint=4 must be at most 3"):
        check(nn.Identity(), like="SE", hint=4)
    with pytest.raises(ValueError, match=r"seconds=0 is outside its range: use 0.01 to 86400"):
        check(nn.Identity(), like="SE", seconds=0)


def test_an_answer_is_a_record() -> None:
    with pytest.raises(AttributeError):
        check(None, like="SE").passed = True  # type: ignore[misc]
    assert Answer("SE", True, (), "") == Answer("SE", True, (), "")


WORDS = {(id(JUDGES[like][1]), key): (like, key) for like in JUDGES for key in mistakes(like)}  # each family once


@pytest.mark.parametrize(("like", "key"), WORDS.values())
def test_every_known_mistake_is_told_in_full(like: str, key: str) -> None:
    mistake = mistakes(like)[key]
    assert re.fullmatch(r"[A-Za-z0-9_]+", key)
    assert mistake.name
    assert not mistake.name.endswith(".")
    assert not mistake.name[0].isspace()
    assert len(mistake.hints) == 3
    assert all(hint.strip() and hint[-1] in ".?!" for hint in mistake.hints)
    assert key in GENERAL or len(set(mistake.hints)) == 3
    if mistake.section:
        page, _, anchor = mistake.section.removeprefix("book/").partition(".html#")
        assert anchor in anchors(page), f"{mistake.section} is no heading of the book"


def anchors(page: str) -> set[str]:
    """The anchors of a chapter's headings, as Sphinx makes them: they begin with a letter."""
    (file,) = [*BOOK_FOLDER.glob(f"{page}.ipynb"), *BOOK_FOLDER.glob(f"{page}.md")]
    headings = re.findall(r'^\s*"?#+ (.+?)(?:\\n)?"?,?$', file.read_text(), re.M)
    plain = (re.sub(r"\$[^$]*\$", "", heading).lower() for heading in headings)
    return {re.sub(r"^[^a-z]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", heading)) for heading in plain}
