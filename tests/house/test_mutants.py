"""`make mutants`: which mutants count, which are noticed, and how a survivor is named."""

import ast
import json
from pathlib import Path

import mutants
import pytest

# What mutmut makes of a file: each function as it was, and with one change.
MUTATED = """
def x_area__mutmut_orig(h, w):
    if h < 0:
        raise ValueError(f"h={h} is below 0: use 0")
    return h * w

def x_area__mutmut_1(h, w):
    if h <= 0:
        raise ValueError(f"h={h} is below 0: use 0")
    return h * w

def x_area__mutmut_2(h, w):
    if h < 0:
        raise ValueError(f"XXh={h} is below 0: use 0XX")
    return h * w

def x_area__mutmut_3(h, w):
    if h < 0:
        raise ValueError(None)
    return h * w

def x_area__mutmut_4(h, w):
    if h < 0:
        raise ValueError(f"h={h} is below 0: use 0")
    return h / w
"""
NAMES = [f"cbam_lite.maps.x_area__mutmut_{number}" for number in (1, 2, 3, 4)]
FIRST = "maps.py area: if h < 0: -> if h <= 0:"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mutants" / "cbam_lite").mkdir(parents=True)
    (tmp_path / "mutants" / "cbam_lite" / "maps.py").write_text(MUTATED)
    monkeypatch.setattr(mutants, "EQUIVALENT", tmp_path / "equivalent.txt")
    return tmp_path


def test_survivors_are_named_and_words_do_not_count(folder: Path) -> None:
    score = mutants.judge(folder, "maps.py", dict(zip(NAMES, (0, 0, 0, 1), strict=True)))
    assert (score.planted, score.noticed, score.words, score.equivalent) == (4, 1, 1, 0)
    assert score.survivors[0] == FIRST
    assert "raise ValueError(None)" in score.survivors[1]
    assert "33.3%     1 of    3" in str(score)


def test_a_survivor_that_computes_the_same_is_not_counted(folder: Path) -> None:
    mutants.EQUIVALENT.write_text(f"{FIRST}  # no map has 0 rows\n")
    score = mutants.judge(folder, "maps.py", {NAMES[0]: 0})
    assert (score.equivalent, score.survivors) == (1, [])


def test_a_mutant_that_no_test_runs_is_a_survivor(folder: Path) -> None:
    assert mutants.judge(folder, "maps.py", {NAMES[3]: 33}).survivors == [
        "maps.py area: return h * w -> return h / w (status 33)"
    ]


@pytest.mark.parametrize("status", [1, 36, -24])
def test_a_failed_test_and_a_test_without_end_notice(folder: Path, status: int) -> None:
    assert mutants.judge(folder, "maps.py", {NAMES[3]: status}).noticed == 1


def test_methods_have_readable_names() -> None:
    assert mutants.readable("cbam_lite.networks.cost.xǁCostǁ__str____mutmut_45") == "Cost.__str__"


def test_interval_is_wilsons() -> None:
    assert mutants.interval(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_the_copy_holds_what_git_knows_and_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "WORK", tmp_path)
    folder = mutants.prepare(["networks/cost.py", "networks/papers.py"])
    config = (folder / "pyproject.toml").read_text()
    assert 'only_mutate = ["cbam_lite/networks/cost.py", "cbam_lite/networks/papers.py"]' in config
    assert json.dumps(["tests/networks"]) in config
    assert (folder / "tests" / "conftest.py").is_file()


def test_the_name_of_an_argument_that_a_check_says_is_a_word() -> None:
    before, renamed, other = (
        ast.parse(f"def f(x):\n    return {call}").body[0]
        for call in ("number('x', x, 0)", "number('XXxXX', x, 0)", "number('x', x, 1)")
    )
    assert mutants.without_words(before) == mutants.without_words(renamed) != mutants.without_words(other)
    a, b = (ast.parse(f"def f(x):\n    return METHODS[{key!r}]").body[0] for key in ("CAM", "cam"))
    assert mutants.without_words(a) != mutants.without_words(b)  # no check, so it is more than a word
