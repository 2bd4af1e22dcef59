"""Make assignments out of chapters with exercises, in the conventions of nbgrader and of Otter-Grader.

    python tools/assignments.py                  the coursework
    python tools/assignments.py cbam networks    these chapters instead

Into _build/assignments go the instructor's notebooks, with solutions and hidden tests. If the two graders are installed
(`make assignments` does it, into _build/graders), their own tools make the students' notebooks and the autograder.

An exercise is a cell tagged `exercise`, with the solution in the next cell, tagged `solution`. Its metadata may say
{"points": 8}, else it has one, and {"own": true}, which refuses modules of the package. Without a check in the cell a
person marks it. A cell with {"handout": false} stays out of assignments.
"""

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from address import address, owner_and_name, pages, ref
from alone import wheel

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build" / "assignments"
GRADERS = ROOT / "_build" / "graders" / "bin"
CHECKS = ("check", "check_answer")
STUB = "# YOUR CODE HERE"  # nbgrader's, in place of a solution

Cell = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One exercise: the text above it, what the student sees, the solution that fits below it, the calls that judge it.

    Attributes:
        asked: the exercise cell, with `...` where the answer goes.
        solved: the code of the solution, which ends by giving the names of `asked` their values.
        tests: expressions in the names of `asked`, each true for a right answer; none if a person marks it.
        own: whether modules of the package count as no answer.
    """

    number: int
    points: int
    text: str
    asked: str
    solved: str
    tests: tuple[str, ...]
    own: bool

    @property
    def answer(self) -> str:
        """The exercise cell with its solution, which the graders cut out again."""
        lines = self.asked.splitlines()
        at = next((node.lineno - 1 for node in ast.parse(self.asked).body if calls(node)), len(lines))
        marked = ["### BEGIN SOLUTION", self.solved, "### END SOLUTION"]
        return "\n".join([*lines[:at], *marked, *lines[at:]])

    @property
    def names(self) -> list[str]:
        """The names that the tests take from the student's notebook."""
        found = [node.id for test in self.tests for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Name)]
        return [name for name in dict.fromkeys(found) if name != "cbam_lite"]


# ---- from a chapter to its questions --------------------------------------------------------------------------------


def read(path: Path) -> list[Cell | Question]:
    """The cells of a notebook in order, where an exercise, its text and its solution are one `Question`."""
    stored = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cells = [cell for cell in stored if cell["metadata"].get("handout", True)]
    found: list[Cell | Question] = []
    for n, (cell, after) in enumerate(zip(cells, [*cells[1:], None], strict=True)):
        if "exercise" in tags(cell):
            if after is None or "solution" not in tags(after):
                raise SystemExit(f"{path.name}: no solution follows the exercise {source(cell)[:60]!r}")
            text = source(cells[n - 1]) if n and found and found[-1] is cells[n - 1] and is_prose(cells[n - 1]) else ""
            del found[len(found) - bool(text) :]
            found.append(question(cell, after, text, path.name))
        elif "solution" not in tags(cell):
            found.append(cell)
        elif not found or not isinstance(found[-1], Question) or found[-1].number != number_of(cell):
            raise SystemExit(f"{path.name}: no cell tagged exercise stands before {source(cell).splitlines()[0]!r}")
    return found


def question(cell: Cell, solution: Cell, text: str, where: str) -> Question:
    asked, (_, solved) = source(cell), source(solution).split("\n", 1)
    number, meta = number_of(solution), cell["metadata"]
    answers = {key(call): (call, test) for call, test in judged(solved)}
    bound, tests = [], []
    for call in calls(ast.parse(asked)):
        if key(call) not in answers:
            raise SystemExit(f"{where}, exercise {number}: its solution has no `assert {ast.unparse(call)}`")
        theirs, test = answers[key(call)]
        bound += bindings(judged_thing(call), judged_thing(theirs))
        tests.append(with_the_thing(test, theirs, call))
    whole = "\n\n".join(filter(None, [without_checks(solved), "\n".join(bound)]))
    return Question(number, int(meta.get("points", 1)), text, asked, whole, tuple(tests), bool(meta.get("own")))


def number_of(solution: Cell) -> int:
    title = re.match(r"# @title Solution to exercise (\d+)\n", source(solution))
    if title is None:
        raise SystemExit(f"a solution begins with `# @title Solution to exercise 1`, not {source(solution)[:60]!r}")
    return int(title[1])


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def tags(cell: Cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def is_prose(cell: Cell) -> bool:
    return bool(cell["cell_type"] == "markdown")


def calls(tree: ast.AST) -> list[ast.Call]:
    """The calls of `check` and `check_answer`, in order."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id in CHECKS]


def key(call: ast.Call) -> str:
    """What a call asks for, whatever the answer: "check like='SE'", "check_answer 'cbam' 2"."""
    words = [ast.unparse(argument) for argument in call.args[:2]] if name_of(call) == "check_answer" else []
    likes = [f"like={ast.unparse(word.value)}" for word in call.keywords if word.arg == "like"]
    return " ".join([name_of(call), *words, *likes])


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def judged_thing(call: ast.Call) -> ast.expr:
    return call.args[2 if name_of(call) == "check_answer" else 0]


def judged(solved: str) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Each call of a check that a solution asserts, and the smallest expression around it that says what is right."""
    for statement in ast.walk(ast.parse(solved)):
        if isinstance(statement, ast.Assert):
            named = [node for node in ast.walk(statement) if isinstance(node, ast.Compare) and is_key(node.left)]
            for call in calls(statement):
                around = [node for node in named if call in ast.walk(node.left)]
                yield call, around[0] if around else call


def is_key(node: ast.expr) -> bool:
    """Whether this asks for the name of a mistake, check(...).key: some exercises want a wrong implementation."""
    return isinstance(node, ast.Attribute) and node.attr == "key" and isinstance(node.value, ast.Call)


def bindings(name: ast.expr, value: ast.expr) -> list[str]:
    """The lines that give the student's names the values of the solution."""
    if ast.unparse(name) == ast.unparse(value):
        return []
    if isinstance(name, ast.Starred) and isinstance(value, ast.Starred):
        return bindings(name.value, value.value)
    if can_be_assigned(name):
        left = ast.unparse(name)
        return [f"{left[1:-1] if isinstance(name, ast.Tuple) else left} = {ast.unparse(value)}"]
    if isinstance(name, ast.Tuple) and isinstance(value, ast.Tuple) and len(name.elts) == len(value.elts):
        pairs = list(zip(name.elts, value.elts, strict=True))
        if all(isinstance(a, ast.Starred) == isinstance(b, ast.Starred) for a, b in pairs):
            return [line for pair in pairs for line in bindings(*pair)]
    raise SystemExit(f"cannot see how {ast.unparse(value)} gives a value to {ast.unparse(name)}: check names")


def can_be_assigned(name: ast.expr) -> bool:
    """A name, or a tuple of names, one of them with a star at most."""
    parts = name.elts if isinstance(name, ast.Tuple) else [name]
    starred = [part for part in parts if isinstance(part, ast.Starred)]
    inner = [part.value if isinstance(part, ast.Starred) else part for part in parts]
    return len(starred) <= isinstance(name, ast.Tuple) and all(isinstance(part, ast.Name) for part in inner)


def with_the_thing(test: ast.expr, theirs: ast.Call, call: ast.Call) -> str:
    """The test of a solution, as text, with the student's names in it and the checker by its full name."""
    ours = ast.unparse(call.func) + "(" + ", ".join(map(ast.unparse, [*call.args, *asked_for(call)])) + ")"
    return "cbam_lite." + ast.unparse(test).replace(ast.unparse(theirs), ours)


def asked_for(call: ast.Call) -> list[ast.keyword]:
    return [word for word in call.keywords if word.arg != "hint"]


def without_checks(solved: str) -> str:
    """The solution without the asserts that check it: the exercise cell and the hidden test do that."""
    lines = solved.splitlines()
    for node in reversed(ast.parse(solved).body):
        if isinstance(node, ast.Assert) and calls(node):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n")


# ---- what both graders get ------------------------------------------------------------------------------------------

IMPORTS = """\
import contextlib
import io

import cbam_lite
"""
# A warning goes to stderr, and nbgrader gives nothing for a cell that writes there; but a warning is no mistake.
QUIETLY = """
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
"""
# Which modules run while the checker tries the answer: a wrapper around the package's own CBAM is seen, too.
WATCHING = """
from torch.nn.modules.module import register_module_forward_pre_hook

ran = {getattr(NAME, "__module__", None) or ""}
watch = register_module_forward_pre_hook(lambda module, _: ran.update(c.__module__ for c in type(module).__mro__))
"""
WATCHED = """
watch.remove()
theirs = [name for name in ran if name.startswith(("cbam_lite.", "timm.")) and ".practice." not in name]
assert not theirs, f"this is not your own: {theirs}"
"""


def hidden_test(asked: Question) -> str:
    """Code that raises an AssertionError for a wrong answer, and says nothing for a right one."""
    assigned = "".join(f"    answer_{n} = {test}\n" for n, test in enumerate(asked.tests, 1))
    asserted = "".join(f"assert answer_{n}, answer_{n}\n" for n, _ in enumerate(asked.tests, 1))
    watching, watched = (WATCHING.replace("NAME", asked.names[0]), WATCHED) if asked.own else ("", "")
    return (IMPORTS + watching + QUIETLY + assigned + watched + asserted).strip()


def first_cell(root: Path = ROOT) -> str:
    """The first cell of an assignment: pip brings the wheel of a release, no git is needed."""
    return f"""\
# This installs cbam_lite, the package of the book, where it is missing. It takes pip, and no git.
import importlib.util

if importlib.util.find_spec("cbam_lite") is None:
    %pip install -q "{requirement(root)}\""""


def requirement(root: Path = ROOT) -> str:
    """What pip installs: the wheel that the workflow attaches to the release of a tag, with what loads the networks."""
    version = re.search(r'__version__ = "(.+)"', (root / "cbam_lite" / "version.py").read_text(encoding="utf-8"))
    assert version is not None
    tag = f"v{version[1]}" if ref(root) == "main" else ref(root)
    if not tag.startswith("v"):
        raise SystemExit(f"{tag!r} makes no release: call the tag v-{tag}, then `make address REF=v-{tag}`")
    return f"cbam-lite[train] @ {address(root)}/releases/download/{tag}/cbam_lite-{version[1]}-py3-none-any.whl"


def plain(text: str, chapter: str) -> str:
    """Markdown that any Jupyter shows: terms and citations as words, links to the pages of the published book."""
    site = f"https://{pages(*owner_and_name(address()))}/book/"
    text = re.sub(r"; the solution is folded below(?=\.)|, and with the solution(?=\.)", "", text)
    text = re.sub(r"\{term\}`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    text = re.sub(r"\{cite(?::\w+)?\}`([^`]*)`", rf"([\1]({site}bibliography.html))", text)
    text = re.sub(r"^\$\$ *\([\w-]+\)", "$$", text, flags=re.M)
    text = re.sub(r"\]\(#", f"]({site}{chapter}.html#", text)
    return re.sub(r"\]\((?!https?:)([\w/]+)\.(?:ipynb|md)", rf"]({site}\1.html", text)


def new(kind: str, text: str, number: int, **metadata: Any) -> Cell:
    cell: Cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": metadata, "source": text}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def notebook(cells: list[tuple[str, str, dict[str, Any]]]) -> str:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    numbered = [new(kind, text, number, **meta) for number, (kind, text, meta) in enumerate(cells)]
    meta = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": numbered, "metadata": meta, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def common(cell: Cell, chapter: str) -> tuple[str, str]:
    """The kind and the text of a cell that is no question."""
    if is_prose(cell):
        return "markdown", plain(source(cell), chapter)
    return "code", first_cell() if "remove-cell" in tags(cell) and "%pip" in source(cell) else source(cell)


# ---- nbgrader -------------------------------------------------------------------------------------------------------

NBGRADER_CONFIG = f"""\
c = get_config()
c.CourseDirectory.course_id = "cbam-lite"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}  # no error: the cell's own check says what is missing
c.Execute.timeout = 120
"""


def for_nbgrader(items: list[Cell | Question], chapter: str) -> str:
    """The instructor's notebook: locked cells, cells with solutions, cells with hidden tests and points."""
    cells: list[tuple[str, str, dict[str, Any]]] = []
    for item in items:
        if isinstance(item, dict):
            kind, text = common(item, chapter)
            locked = nbgrader(f"given-{len(cells)}", locked=True) if kind == "code" else {}
            cells.append((kind, text, locked))
        else:
            cells.append(("markdown", plain(item.text, chapter), {}))
            marks = {} if item.tests else {"grade": True, "points": item.points}
            cells.append(("code", item.answer, nbgrader(f"exercise-{item.number}", solution=True, **marks)))
            if item.tests:
                hidden = f"### BEGIN HIDDEN TESTS\n{hidden_test(item)}\n### END HIDDEN TESTS"
                text = f"# The grader tests exercise {item.number} here, for {item.points} points.\n{hidden}"
                marked = nbgrader(f"test-{item.number}", grade=True, locked=True, points=item.points)
                cells.append(("code", text, marked))
    return notebook(cells)


def nbgrader(name: str, **more: Any) -> dict[str, Any]:
    plainly = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": {**plainly, "grade_id": name, **more}}


# ---- Otter-Grader ---------------------------------------------------------------------------------------------------

# No cell asks for Otter itself: the exercise cells check themselves, and students need one package only.
OTTER_CONFIG = """\
# ASSIGNMENT CONFIG
name: {name}
init_cell: false
export_cell: false
requirements: ["{requirement}"]
tests: {{ok_format: false}}
generate: {{pdf: false}}
"""


def for_otter(items: list[Cell | Question], chapter: str) -> str:
    """The instructor's notebook: raw cells that say where a question, a solution, a test begins and ends."""
    cells = [("raw", OTTER_CONFIG.format(name=chapter, requirement=requirement()))]
    for item in items:
        if isinstance(item, dict):
            cells.append(common(item, chapter))
        else:
            manual = "" if item.tests else "\nmanual: true"
            name = f"name: exercise_{item.number}\npoints: {item.points}\ncheck_cell: false{manual}"
            cells += [("raw", f"# BEGIN QUESTION\n{name}"), ("markdown", plain(item.text, chapter))]
            answer = item.answer.replace("### BEGIN SOLUTION", "# BEGIN SOLUTION NO PROMPT").replace("### END", "# END")
            cells += [("raw", "# BEGIN SOLUTION"), ("code", answer), ("raw", "# END SOLUTION")]
            if item.tests:
                test = f"def test({', '.join(item.names)}):\n{textwrap.indent(hidden_test(item), '    ')}"
                cells += [("raw", "# BEGIN TESTS"), ("code", f"# HIDDEN\n{test}"), ("raw", "# END TESTS")]
            cells.append(("raw", "# END QUESTION"))
    return notebook([(kind, text, {}) for kind, text in cells])


# ---- both -----------------------------------------------------------------------------------------------------------


def write(chapter: str, folder: Path) -> list[Question]:
    """The instructor's notebooks of a chapter, for both graders; returns its questions."""
    items = read(ROOT / "book" / f"{chapter}.ipynb")
    questions = [item for item in items if isinstance(item, Question)]
    if not questions:
        raise SystemExit(f"book/{chapter}.ipynb has no cell tagged exercise")
    places = {folder / "nbgrader" / "source" / chapter: for_nbgrader, folder / "otter" / "source": for_otter}
    for place, made_for in places.items():
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{chapter}.ipynb").write_text(made_for(items, chapter), encoding="utf-8")
    (folder / "nbgrader" / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    return questions


def by_nbgrader(chapter: str, folder: Path) -> None:
    """The students' notebook, and nbgrader's book of what it knows about the assignment."""
    call(folder / "nbgrader", "nbgrader", "generate_assignment", chapter, "--force", "--log-level=WARN")


def by_otter(chapter: str, folder: Path) -> None:
    """The students' notebook, and Otter's autograder as a zip."""
    call(folder / "otter", "otter", "assign", "--no-run-tests", "--no-pdfs", f"source/{chapter}.ipynb", chapter)


def call(where: Path, name: str, *words: str, **more: str) -> None:
    """Run a command of a grader in a folder. It calls others of its environment; what it says shows if it fails."""
    environment = {"PATH": f"{GRADERS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    environment |= {"JUPYTER_PREFER_ENV_PATH": "1", **more}  # its own kernel, not that of the user
    command = [str(GRADERS / name), *words]
    done = subprocess.run(command, cwd=where, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} {words[0]} failed:\n{done.stdout}\n{done.stderr}")


def main(chapters: list[str]) -> None:
    for chapter in chapters or ["coursework"]:
        questions = write(chapter, BUILD)
        points = sum(question.points for question in questions)
        print(f"{chapter}: {len(questions)} questions, {points} points", flush=True)
        if (GRADERS / "nbgrader").exists():
            by_nbgrader(chapter, BUILD)
            by_otter(chapter, BUILD)
            print(f"  students:    nbgrader/release/{chapter}/ and otter/{chapter}/student/")
            print(f"  autograders: nbgrader/gradebook.db and otter/{chapter}/autograder/")
        print(f"  instructors: nbgrader/source/{chapter}/ and otter/source/, in {BUILD.relative_to(ROOT)}")
    print(f"The wheel that students install, for a class without a release: {wheel(BUILD).relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
