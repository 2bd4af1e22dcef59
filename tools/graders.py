"""Give three submissions of the coursework to nbgrader and to Otter-Grader, and compare the marks with what is right.

    python tools/graders.py

A perfect one has all solutions, an empty one is the notebook as it is handed out, a third has five known mistakes and
one right answer that prints and warns. What each must get follows from the points in the notebook. `make graders` makes
the environment in _build/graders first; it borrows torch from ours, and gets the wheel of this tree. Grading needs no
network.
"""

import json
import shutil
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alone import install, output, wheel
from assignments import (
    BUILD,
    GRADERS,
    ROOT,
    STUB,
    Cell,
    Question,
    by_nbgrader,
    by_otter,
    call,
    hidden_test,
    read,
    source,
    write,
)

COURSE = "coursework"
FOLDER = BUILD.with_name("graded")
OFFLINE = {"PIP_NO_INDEX": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}

Marks = dict[str, dict[int, float]]  # of each submission, by the number of the question

# Five mistakes that the checker knows by name, each in place of a right answer.
MISTAKES = {
    1: """\
class MySE(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.down, self.up = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)

    def forward(self, F):
        s = self.up(self.down(F.mean((2, 3))).relu()).relu()  # a ReLU before the sigmoid
        return F * torch.sigmoid(s)[:, :, None, None]
""",
    3: """\
class MyChannelGate(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        mlp = lambda: nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )
        self.of_average, self.of_maximum = mlp(), mlp()  # two MLPs

    def forward(self, F):
        logits = self.of_average(F.mean((2, 3))) + self.of_maximum(F.amax((2, 3)))
        return F * torch.sigmoid(logits)[:, :, None, None]
""",
    5: """\
class MyCBAM(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        units = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, units), nn.ReLU(), nn.Linear(units, channels))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, F):
        M_c = torch.sigmoid(self.mlp(F.mean((2, 3))) + self.mlp(F.amax((2, 3))))[:, :, None, None]
        maps = torch.cat([F.mean(1, keepdim=True), F.amax(1, keepdim=True)], dim=1)  # of F, not of F'
        return F * M_c * torch.sigmoid(self.conv(maps))
""",
    8: """\
def my_grad_cam_map(A, G):
    return (G * A).sum(-3).relu()  # HiResCAM: no mean of the gradients
""",
    12: "energy_late, energy_early, chance, early_hits_more = 0.079, 0.227, 3.3, True  # chance in percent\n",
}
# What `check` calls them. The last one is a number, which has no name.
KEYS = {1: "relu_before_sigmoid", 3: "separate_mlps", 5: "spatial_reads_F", 8: "no_mean_of_gradients"}

# A right answer that prints and warns: nbgrader gives nothing for a test that writes to stderr.
NOISY = """\
import warnings


class MySpatialGate(nn.Module):
    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, F):
        print("F has the shape", tuple(F.shape))
        warnings.warn("this is only a warning")
        maps = torch.cat([F.mean(1, keepdim=True), F.amax(1, keepdim=True)], dim=1)
        return F * torch.sigmoid(self.conv(maps))
"""

READ = """
import json, sys
from nbgrader.api import Gradebook

with Gradebook("sqlite:///gradebook.db") as book:
    handed_in = book.assignment_submissions(sys.argv[1])
    print(json.dumps({s.student.id: {g.name: g.auto_score for n in s.notebooks for g in n.grades} for s in handed_in}))
"""


def answers(questions: list[Question]) -> dict[str, dict[int, str]]:
    """The code that each submission has in place of the exercise cells, by their numbers."""
    perfect = {q.number: without_markers(q.answer) for q in questions}
    return {"perfect": perfect, "empty": {}, "mistakes": perfect | MISTAKES | {4: NOISY}}


def without_markers(answer: str) -> str:
    return "\n".join(line for line in answer.splitlines() if not line.startswith("### "))


def must_be(questions: list[Question]) -> Marks:
    """The mark of each question in each submission. A person marks the open one, so it is not here."""
    automatic = [q for q in questions if q.tests]
    return {
        "perfect": {q.number: float(q.points) for q in automatic},
        "empty": {q.number: 0.0 for q in automatic},
        "mistakes": {q.number: 0.0 if q.number in MISTAKES else float(q.points) for q in automatic},
    }


def filled(handed_out: Path, questions: list[Question], code: dict[int, str]) -> str:
    """The students' notebook with these answers in place of the exercise cells."""
    notebook = json.loads(handed_out.read_text(encoding="utf-8"))
    empty = {source(cell).replace(f"{STUB}\n", "").replace(f"\n{STUB}", ""): cell for cell in notebook["cells"]}
    for question in questions:
        if question.number in code:
            empty[question.asked]["source"] = code[question.number]
    return json.dumps(notebook)


def leaks(handed_out: Path, items: list[Cell | Question]) -> list[str]:
    """Lines of solutions and hidden tests that stand in a students' notebook, and in no cell that is given."""
    questions = [item for item in items if isinstance(item, Question)]
    given = [source(item) for item in items if isinstance(item, dict)] + [q.asked for q in questions]
    secret = lines(*(q.solved for q in questions), *(hidden_test(q) for q in questions if q.tests)) - lines(*given)
    shown = lines(*map(source, json.loads(handed_out.read_text(encoding="utf-8"))["cells"]))
    return sorted(secret & shown)


def lines(*texts: str) -> set[str]:
    return {line.strip() for text in texts for line in text.splitlines()} - {""}


def differences(wanted: Marks, found: Marks, grader: str) -> list[str]:
    """A line for each mark that is not what it must be, or is missing."""
    return [
        f"{grader}, {name}: question {number} has {found.get(name, {}).get(number)}, must have {points}"
        for name, marks in wanted.items()
        for number, points in marks.items()
        if found.get(name, {}).get(number) != points
    ]


# ---- the two graders ------------------------------------------------------------------------------------------------


def nbgrader(folder: Path, questions: list[Question], code: dict[str, dict[int, str]]) -> Marks:
    by_nbgrader(COURSE, folder)
    course = folder / "nbgrader"
    for name, answered in code.items():
        handed_in = course / "submitted" / name / COURSE
        handed_in.mkdir(parents=True)
        released = course / "release" / COURSE / f"{COURSE}.ipynb"
        (handed_in / f"{COURSE}.ipynb").write_text(filled(released, questions, answered), encoding="utf-8")
    call(course, "nbgrader", "autograde", COURSE, "--create", "--log-level=WARN", **OFFLINE)
    found = json.loads(output(GRADERS / "python", "-c", READ, COURSE, where=course))
    tests = {f"test-{q.number}": q.number for q in questions}
    return {name: {tests[t]: mark for t, mark in marks.items() if t in tests} for name, marks in found.items()}


def otter(folder: Path, questions: list[Question], code: dict[str, dict[int, str]]) -> Marks:
    by_otter(COURSE, folder)
    made, found = folder / "otter" / COURSE, {}
    autograder = next(made.glob("autograder/*.zip"))
    for name, answered in code.items():
        place = folder / "otter" / "submitted" / name
        place.mkdir(parents=True)
        handed_in = filled(made / "student" / f"{COURSE}.ipynb", questions, answered)
        (place / f"{COURSE}.ipynb").write_text(handed_in, encoding="utf-8")
        call(place, "otter", "run", "-a", str(autograder), "--no-logo", f"{COURSE}.ipynb", **OFFLINE)
        tests = json.loads((place / "results.json").read_text())["tests"]
        scores = {test["name"].split(" ")[0]: test.get("score") for test in tests}
        found[name] = {q.number: scores[f"exercise_{q.number}"] for q in questions if q.tests}
    return found


def borrow(folder: Path) -> None:
    """Let the graders' environment see torch and the rest of ours, and this tree's package as a wheel."""
    own = Path(output(GRADERS / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(wheel(folder), GRADERS / "python")


def table(wanted: Marks, found: dict[str, Marks]) -> str:
    head = f"{'submission':12}{'must be':>10}" + "".join(f"{grader:>10}" for grader in found)
    rows = [
        f"{name:12}{sum(marks.values()):10g}" + "".join(f"{sum(of[name].values()):10g}" for of in found.values())
        for name, marks in wanted.items()
    ]
    return "\n".join([head, *rows])


def main() -> int:
    start = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    items = read(ROOT / "book" / f"{COURSE}.ipynb")
    questions = write(COURSE, FOLDER)
    borrow(FOLDER)
    code = answers(questions)
    with ThreadPoolExecutor() as pool:  # the two share nothing
        graded = {grade.__name__: pool.submit(grade, FOLDER, questions, code) for grade in (nbgrader, otter)}
        found = {grader: marks.result() for grader, marks in graded.items()}
    wanted = must_be(questions)
    print(table(wanted, found))
    wrong = [line for grader, marks in found.items() for line in differences(wanted, marks, grader)]
    for students in (*FOLDER.glob("nbgrader/release/*/*.ipynb"), *FOLDER.glob("otter/*/student/*.ipynb")):
        wrong += [f"{students.relative_to(FOLDER)} shows {line!r}" for line in leaks(students, items)]
    print(*wrong, f"{time.perf_counter() - start:.0f} s together", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
