"""Assignments: students get no solution, each exercise has points and a hidden test, a wrong mark is noticed."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import assignments
import graders
import pytest
import torch
from address import address, owner_and_name, pages
from assignments import Question
from torch import nn

import cbam_lite

ROOT = Path(__file__).resolve().parents[2]
COURSEWORK = ROOT / "book" / "coursework.ipynb"
ITEMS = assignments.read(COURSEWORK)
QUESTIONS = [item for item in ITEMS if isinstance(item, Question)]
WITH_EXERCISES = [path for path in sorted((ROOT / "book").glob("*.ipynb")) if '"exercise"' in path.read_text()]


def cut(text: str, begin: str, end: str) -> str:
    """What a grader does to a cell: it leaves out what stands between two markers, and these."""
    return re.sub(rf"^### {begin}\n.*?^### {end}\n?", "", text, flags=re.M | re.S).strip("\n")


def students(instructors: str, folder: Path) -> Path:
    """The students' notebook, as the graders make it."""
    notebook = json.loads(instructors)
    for cell in notebook["cells"]:
        text = cell["source"].replace("# BEGIN SOLUTION NO PROMPT", "### BEGIN SOLUTION")
        text = re.sub("^# END SOLUTION", "### END SOLUTION", text, flags=re.M)
        cell["source"] = cut(cut(text, "BEGIN SOLUTION", "END SOLUTION"), "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["source"].startswith("# HIDDEN")]
    path = folder / "students.ipynb"
    path.write_text(json.dumps(notebook))
    return path


MAKERS = pytest.mark.parametrize("make", [assignments.for_nbgrader, assignments.for_otter], ids=lambda f: f.__name__)


# ---- the coursework -------------------------------------------------------------------------------------------------


def test_the_table_names_what_the_exercises_ask_for_and_their_points() -> None:
    page = "".join(assignments.source(ITEMS[0]))  # type: ignore[arg-type]
    rows = re.findall(r"^\| (\d+) \| (.+?) \| .+? \| (\d+) \|$", page, re.M)
    assert [(int(number), int(points)) for number, _, points in rows] == [(q.number, q.points) for q in QUESTIONS]
    for question, (_, names, points) in zip(QUESTIONS, rows, strict=True):
        expected = re.findall(r"`(\w+)`", names)
        assert expected == [name for name in expected if re.search(rf"\b{name}\b.* = ", question.asked)]
        assert question.names in (expected, [])
        assert f"{points} points" in question.text
    assert sum(question.points for question in QUESTIONS) == 100


def test_the_parts_of_the_open_exercise_have_its_points_together() -> None:
    page = assignments.source(ITEMS[0])  # type: ignore[arg-type]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| [^|]+ \|$", page, re.M)
    assert [name for _, name in rows] == re.findall(r"^(\w+) = ", QUESTIONS[-1].asked, re.M)
    assert sum(int(points) for points, _ in rows) == QUESTIONS[-1].points


def test_the_page_gives_no_answer_of_true_or_false_away() -> None:
    """Exercise 7 asks whether answers stay: no text says it."""
    prose = " ".join(assignments.source(item) for item in ITEMS if not isinstance(item, Question))
    assert not re.search(r"answers\s+stay|stay\s+as\s+they|identity\s+start", prose)
    after_the_last = ITEMS[ITEMS.index(QUESTIONS[-1]) :]
    assert any(isinstance(item, dict) and "## Summary" in assignments.source(item) for item in after_the_last)


def test_all_exercises_but_the_open_one_are_tested() -> None:
    assert [q.number for q in QUESTIONS if not q.tests] == [QUESTIONS[-1].number]
    assert [q.number for q in QUESTIONS if q.own] == [q.number for q in QUESTIONS if "cbam_lite.check(" in str(q.tests)]


@MAKERS
def test_students_see_the_exercise_and_no_line_of_a_solution_or_of_a_hidden_test(make: Any, tmp_path: Path) -> None:
    made = students(make(ITEMS, "coursework"), tmp_path)
    shown = [cell["source"] for cell in json.loads(made.read_text())["cells"]]
    assert all(question.asked in shown for question in QUESTIONS)
    assert graders.leaks(made, ITEMS) == []
    assert "folded below" not in "".join(shown)


@MAKERS
def test_a_leak_is_noticed(make: Any, tmp_path: Path) -> None:
    made = students(make(ITEMS, "coursework"), tmp_path)
    notebook = json.loads(made.read_text())
    notebook["cells"][3]["source"] += "\n    " + QUESTIONS[0].solved.splitlines()[-1]
    made.write_text(json.dumps(notebook))
    assert graders.leaks(made, ITEMS) == [QUESTIONS[0].solved.splitlines()[-1]]


def test_nbgrader_gets_points_a_hidden_test_and_a_name_for_each_exercise() -> None:
    cells = json.loads(assignments.for_nbgrader(ITEMS, "coursework"))["cells"]
    marked = {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in cells if cell["metadata"]}
    assert len(marked) == sum(bool(cell["metadata"]) for cell in cells)
    for question in QUESTIONS:
        answer = marked[f"exercise-{question.number}"]
        grade = marked[f"test-{question.number}"] if question.tests else answer
        assert answer["metadata"]["nbgrader"]["solution"]
        assert "### BEGIN SOLUTION" in answer["source"]
        assert grade["metadata"]["nbgrader"]["grade"]
        assert grade["metadata"]["nbgrader"]["points"] == question.points
        assert ("### BEGIN HIDDEN TESTS" in grade["source"]) == bool(question.tests)
    given = [cell for cell in cells if cell["cell_type"] == "code" and cell not in marked.values()]
    assert given == []  # what is given is locked


def test_otter_gets_points_and_a_hidden_test_for_each_exercise() -> None:
    cells = json.loads(assignments.for_otter(ITEMS, "coursework"))["cells"]
    assert cells[0]["source"].startswith("# ASSIGNMENT CONFIG")
    begins = [cell["source"] for cell in cells if cell["source"].startswith("# BEGIN QUESTION")]
    expected = [f"name: exercise_{q.number}\npoints: {q.points}\ncheck_cell: false" for q in QUESTIONS]
    assert [text.split("\n", 1)[1].removesuffix("\nmanual: true") for text in begins] == expected
    assert ["manual" in text for text in begins] == [not q.tests for q in QUESTIONS]
    assert sum(cell["source"].startswith("# HIDDEN\ndef test(") for cell in cells) == len(QUESTIONS) - 1


# ---- hidden tests ---------------------------------------------------------------------------------------------------


def run(code: str, **names: Any) -> None:
    exec(code, names)


def wrapped(channels: int, reduction: int = 4) -> nn.Module:
    return nn.Sequential(cbam_lite.SqueezeExcitation(channels, reduction))


class Noisy(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)

    def forward(self, F: torch.Tensor) -> torch.Tensor:
        import sys

        print("this is stdout")
        print("this is stderr", file=sys.stderr)
        s: torch.Tensor = torch.sigmoid(self.up(self.down(F.mean((2, 3))).relu()))
        return F * s[:, :, None, None]


def test_a_right_answer_that_prints_and_warns_passes_in_silence() -> None:
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        run(assignments.hidden_test(QUESTIONS[0]), MySE=Noisy)
    assert said.getvalue() == ""


@pytest.mark.parametrize("answer", [..., nn.Identity, lambda channels, reduction: 1 / 0])
def test_a_wrong_answer_fails(answer: Any) -> None:
    with pytest.raises(AssertionError):
        run(assignments.hidden_test(QUESTIONS[0]), MySE=answer)


@pytest.mark.parametrize("theirs", [cbam_lite.SqueezeExcitation, wrapped, type("Mine", (cbam_lite.CBAM,), {})])
def test_a_module_of_the_package_is_no_answer(theirs: Any) -> None:
    with pytest.raises(AssertionError, match="this is not your own"):
        run(assignments.hidden_test(QUESTIONS[0]), MySE=theirs)


def test_numbers_are_tested_too() -> None:
    code = assignments.hidden_test(QUESTIONS[6])
    right = {"inserted": 4, "added_parameters": 3270, "identity_stays": True, "fresh_stays": False}
    run(code, **right)
    for wrong in (3112, 3267, 3271):  # whole numbers are exact
        with pytest.raises(AssertionError):
            run(code, **(right | {"added_parameters": wrong}))


def maps_of_defects(late: float, early: float, chance: float) -> dict[str, Any]:
    return {"energy_late": late, "energy_early": early, "chance": chance, "early_hits_more": True}


def test_three_decimals_are_asked_and_enough() -> None:
    code = assignments.hidden_test(QUESTIONS[11])
    assert "three decimals" in QUESTIONS[11].asked
    run(code, **maps_of_defects(0.079, 0.227, 0.033))
    two_decimals, resized_first = (0.08, 0.23, 0.03), (0.0801, 0.2271, 0.033)
    for wrong in (two_decimals, resized_first, (0.079, 0.23, 0.033), (0.079, 0.227, 3.3)):
        with pytest.raises(AssertionError):
            run(code, **maps_of_defects(*wrong))


class GateAlone(Noisy):
    """A channel gate that leaves the product to whoever calls it."""

    def forward(self, F: torch.Tensor) -> torch.Tensor:
        logits = [self.up(self.down(pooled).relu()) for pooled in (F.mean((2, 3)), F.amax((2, 3)))]
        return torch.sigmoid(logits[0] + logits[1])[:, :, None, None]


class WithBias(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, F: torch.Tensor) -> torch.Tensor:
        s: torch.Tensor = torch.sigmoid(self.conv(F.mean((2, 3))[:, None]))
        return F * s[:, 0, :, None, None]


def inserted_in_place(model: nn.Module, attention: Any) -> None:
    for block in list(model.modules()):
        name = "bn3" if hasattr(block, "bn3") else "bn2"
        if hasattr(block, name):
            norm = getattr(block, name)
            setattr(block, name, nn.Sequential(norm, attention(norm.num_features)))


def weighed(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    return (G.mean((-2, -1), keepdim=True) * A).sum(-3, keepdim=True)


ALLOWED = [
    (2, "lets one pass", WithBias),
    (3, "the gate alone", GateAlone),
    (6, "nothing comes back", inserted_in_place),
    (8, "need not cut", weighed),
    (8, "a positive factor for each image", lambda A, G: 7 * weighed(A, G)[:, 0].relu()),
    (8, "an axis of size 1", lambda A, G: weighed(A, G).relu()),
]


@pytest.mark.parametrize(("number", "text", "answer"), ALLOWED, ids=[f"{n}-{text}" for n, text, _ in ALLOWED])
def test_what_the_text_lets_pass_gets_its_points(number: int, text: str, answer: Any) -> None:
    question = QUESTIONS[number - 1]
    assert text in " ".join(question.text.split())
    run(assignments.hidden_test(question), **{question.names[0]: answer})


def test_what_the_text_calls_wrong_gets_none() -> None:
    assert "times $-1$ is wrong" in " ".join(QUESTIONS[7].text.split())
    with pytest.raises(AssertionError):
        run(assignments.hidden_test(QUESTIONS[7]), my_grad_cam_map=lambda A, G: -weighed(A, G))


class FixedReduction(Noisy):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__(channels, 4)


def test_more_than_one_reduction_is_tried() -> None:
    assert "more than one `reduction`" in assignments.source(ITEMS[0])  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        run(assignments.hidden_test(QUESTIONS[0]), MySE=FixedReduction)


def test_the_check_on_the_page_takes_what_the_graders_refuse() -> None:
    assert "passes `CBAM` of the package" in assignments.source(ITEMS[0])  # type: ignore[arg-type]
    assert cbam_lite.check(cbam_lite.CBAM, like="CBAM")
    with pytest.raises(AssertionError, match="this is not your own"):
        run(assignments.hidden_test(QUESTIONS[4]), MyCBAM=cbam_lite.CBAM)


# ---- other chapters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda path: path.stem)
@MAKERS
def test_every_chapter_with_exercises_can_be_handed_out(make: Any, path: Path, tmp_path: Path) -> None:
    items = assignments.read(path)
    made = students(make(items, path.stem), tmp_path)
    assert graders.leaks(made, items) == []


def chapter(folder: Path, asked: str, solved: str, **metadata: Any) -> Path:
    """A notebook with one exercise."""
    exercise = {"cell_type": "code", "metadata": {"tags": ["exercise"], **metadata}, "source": asked}
    text = f"# @title Solution to exercise 1\n{solved}"
    solution = {"cell_type": "code", "metadata": {"tags": ["solution"]}, "source": text}
    prose = {"cell_type": "markdown", "metadata": {}, "source": "What is it?"}
    out = {"cell_type": "markdown", "metadata": {"handout": False}, "source": "Not for students."}
    path = folder / "chapter.ipynb"
    path.write_text(json.dumps({"cells": [out, prose, exercise, solution]}))
    return path


def only(path: Path) -> Question:
    (question,) = assignments.read(path)
    assert isinstance(question, Question)
    return question


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("a", "a", ""),
        ("a", "f(b)", "a = f(b)"),
        ("(a, b)", "pair", "a, b = pair"),
        ("(a, b)", "(1, *rest)", "a, b = (1, *rest)"),
        ("(a, b)", "(b, a)", "a, b = (b, a)"),
        ("(*a, *b)", "(*x[0], *x[1])", "a = x[0]\nb = x[1]"),
        ("(*a, b)", "found", "*a, b = found"),
    ],
)
def test_the_solution_gives_the_students_names_their_values(tmp_path: Path, name: str, value: str, line: str) -> None:
    asked = f'a = ...\ncheck_answer("chapter", 1, {name})'
    found = only(chapter(tmp_path, asked, f'x = 1\nassert check_answer("chapter", 1, {value})  # as it should'))
    assert found.solved == "\n\n".join(filter(None, ["x = 1", line]))
    assert found.tests == (f"cbam_lite.check_answer('chapter', 1, {name})",)
    assert found.answer.splitlines()[0] == "a = ..."
    assert found.answer.splitlines()[-1] == f'check_answer("chapter", 1, {name})'
    assert (found.points, found.text, found.own) == (1, "What is it?", False)


def test_an_exercise_may_ask_for_a_mistake(tmp_path: Path) -> None:
    path = chapter(tmp_path, 'W = ...\ncheck(W, like="SE", hint=2)', 'assert check(X, like="SE").key == "no_relu"')
    assert only(path).tests == ("cbam_lite.check(W, like='SE').key == 'no_relu'",)
    assert only(path).solved == "W = X"


def test_an_exercise_without_a_check_is_marked_by_a_person(tmp_path: Path) -> None:
    found = only(chapter(tmp_path, 'claim = "..."', 'claim = "so it is"', points=10))
    assert (found.tests, found.points) == ((), 10)
    assert found.answer.endswith('### BEGIN SOLUTION\nclaim = "so it is"\n### END SOLUTION')


@pytest.mark.parametrize(
    ("asked", "solved", "says"),
    [
        ('a = ...\ncheck(a, like="SE")', "b = 1", "has no `assert check"),
        ('a = ...\ncheck(a, like="SE")', 'assert check(a, like="ECA")', "has no `assert check"),
        ("a = ...\ncheck(a.b, like='SE')", "assert check(c, like='SE')", "gives a value to a.b"),
        ("a = ...\ncheck_answer('c', 1, (*a, *b))", "assert check_answer('c', 1, c)", "gives a value to (*a, *b)"),
    ],
)
def test_what_cannot_be_made_an_assignment_is_refused(tmp_path: Path, asked: str, solved: str, says: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(says)):
        assignments.read(chapter(tmp_path, asked, solved))


def test_a_solution_or_an_exercise_alone_is_refused(tmp_path: Path) -> None:
    path = chapter(tmp_path, "a = ...", "a = 1")
    cells = json.loads(path.read_text())["cells"]
    for left, says in ((cells[:3], "no solution follows"), (cells[3:], "no cell tagged exercise")):
        path.write_text(json.dumps({"cells": left}))
        with pytest.raises(SystemExit, match=says):
            assignments.read(path)


def test_text_is_plain_markdown() -> None:
    site = f"https://{pages(*owner_and_name(address()))}/book/"
    text = "{term}`gate` {term}`gates <gate>` {cite:p}`woo` [2](networks.ipynb#cost) [a](api/practice.md) [b](#eq-x)"
    links = f"[2]({site}networks.html#cost) [a]({site}api/practice.html) [b]({site}cbam.html#eq-x)"
    expected = f"gate gates ([woo]({site}bibliography.html)) {links}\n$$"
    assert assignments.plain(f"{text}\n$$ (eq-x)", "cbam") == expected


# ---- the first cell -------------------------------------------------------------------------------------------------


def tree(folder: Path, ref: str) -> Path:
    lines = ["[project.urls]", 'Repository = "https://github.com/me/mine"', "[tool.cbam-lite]", f'ref = "{ref}"']
    (folder / "pyproject.toml").write_text("\n".join(lines))
    (folder / "cbam_lite").mkdir()
    (folder / "cbam_lite" / "version.py").write_text('__version__ = "1.2.3"')
    return folder


@pytest.mark.parametrize(("ref", "tag"), [("main", "v1.2.3"), ("v2027-fall", "v2027-fall")])
def test_students_install_the_wheel_of_a_release_without_git(tmp_path: Path, ref: str, tag: str) -> None:
    cell = assignments.first_cell(tree(tmp_path, ref))
    address = f"https://github.com/me/mine/releases/download/{tag}/cbam_lite-1.2.3-py3-none-any.whl"
    assert cell.endswith(f'%pip install -q "cbam-lite[train] @ {address}"')
    assert "git+" not in cell


def test_a_tag_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make address REF=v-fall"):
        assignments.first_cell(tree(tmp_path, "fall"))


def test_the_wheel_is_that_of_the_version_and_the_workflow_attaches_it() -> None:
    assert assignments.requirement().endswith(f"/cbam_lite-{cbam_lite.__version__}-py3-none-any.whl")
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert 'tags: ["v*"]' in workflow
    assert 'gh release upload "$TAG" dist/*.whl' in workflow


# ---- marks ----------------------------------------------------------------------------------------------------------


def test_marks_follow_from_the_points() -> None:
    totals = {name: sum(marks.values()) for name, marks in graders.must_be(QUESTIONS).items()}
    lost = sum(question.points for question in QUESTIONS if question.number in graders.MISTAKES)
    assert totals == {"perfect": 90, "empty": 0, "mistakes": 90 - lost}
    assert len(graders.MISTAKES) == 5


def test_right_marks_are_no_difference() -> None:
    wanted = graders.must_be(QUESTIONS)
    assert graders.differences(wanted, {name: dict(marks) for name, marks in wanted.items()}, "nbgrader") == []


@pytest.mark.parametrize(
    ("name", "number", "mark"), [("perfect", 1, 7.0), ("empty", 2, 7.0), ("mistakes", 5, 8.0), ("perfect", 3, None)]
)
def test_a_wrong_mark_is_noticed(name: str, number: int, mark: Any) -> None:
    wanted = graders.must_be(QUESTIONS)
    found = {key: dict(marks) for key, marks in wanted.items()}
    found[name][number] = mark
    (line,) = graders.differences(wanted, found, "nbgrader")
    assert line == f"nbgrader, {name}: question {number} has {mark}, must have {wanted[name][number]}"


def test_a_missing_submission_is_noticed() -> None:
    wanted = graders.must_be(QUESTIONS)
    assert len(graders.differences(wanted, {"perfect": wanted["perfect"]}, "otter")) == 24


def test_five_mistakes_are_those_that_the_checker_knows() -> None:
    likes = {1: "SE", 3: "channel attention", 5: "CBAM", 8: "Grad-CAM map"}
    for number, key in graders.KEYS.items():
        names: dict[str, Any] = {"torch": torch, "nn": nn}
        exec(graders.MISTAKES[number], names)
        thing = names[QUESTIONS[number - 1].names[0]]
        assert cbam_lite.check(thing, like=likes[number]).key == key


def test_a_submission_has_its_answers_in_place_of_the_exercises(tmp_path: Path) -> None:
    handed_out = students(assignments.for_nbgrader(ITEMS, "coursework"), tmp_path)
    made = json.loads(graders.filled(handed_out, QUESTIONS, graders.answers(QUESTIONS)["mistakes"]))["cells"]
    written = [cell["source"] for cell in made]
    assert graders.MISTAKES[5] in written
    assert QUESTIONS[1].asked not in written
    assert not any("SOLUTION" in text for text in written)
    assert graders.filled(handed_out, QUESTIONS, {}) == handed_out.read_text()
