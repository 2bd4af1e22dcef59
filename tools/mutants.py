"""Plant small bugs in the package, one at a time, and count those that no test notices: `make mutants`.

    python tools/mutants.py                         every file, all mutants: hours
    python tools/mutants.py --sample 40             40 mutants of each file, drawn with a seed
    python tools/mutants.py networks/cost plot      these files

mutmut plants them (a flipped comparison, another constant, a dropped argument) in a copy of the repository, and runs
those tests of the same part of the package that call the mutated function. Which ones call it, it learns by running all
tests of the part, once for all files of the part that are named together. A mutant that only changes the words of
an error message is not counted. Survivors that compute the same stand in tests/equivalent_mutants.txt, with the reason;
a line is the file, the function and the changed line.
"""

import argparse
import ast
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quick import tested_by

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "_build" / "mutants"
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.txt"
CONFIG = """
[tool.mutmut]
source_paths = ["cbam_lite"]
only_mutate = {files}
also_copy = ["tools", "experiments", "requirements.txt", "README.md", "book"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-x", "-k", "{tests_that_run}"]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
timeout_multiplier = 5.0
timeout_constant = 5.0
"""
# mutmut wraps each function, and what traces, compiles or exports our own code does not get through a wrapper. Nor does
# the search for the line outside of the package that a warning names: it ends in the wrapper (stray_images). Where a
# test starts a command (leaves_early), there is no mutmut around it, and a wrapper has no example (the_example).
TRACED = (
    "compil or fx_ or jit or exports_with or onnx or extracts or vmap or torch_func or subprocess or stray_images or "
    "leaves_early or the_example"
)
TESTS_THAT_RUN = f"not ({TRACED} or benchmarks or is_here)"
CHECKS = {"choose", "positive_int", "number", "whole", "sequence", "tensor", "height_and_width", "a_module", "function"}
NOTICED = {1, 3, 37, -24, 24, 36, 152, 255, -6, -11}  # a test failed, it took too long, or it brought Python down


@dataclass
class Score:
    """What became of the mutants of one file."""

    file: str
    planted: int = 0
    noticed: int = 0
    words: int = 0  # of an error message: not counted
    equivalent: int = 0
    survivors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = self.noticed + len(self.survivors)
        share = f"{self.noticed / counted:6.1%}" if counted else "  none"
        left_out = f"({self.equivalent} equivalent, {self.words} words)"
        return f"{self.file:34} {share}  {self.noticed:4} of {counted:4}  {left_out}"


# ---- planting --------------------------------------------------------------------------------------------------------


def prepare(files: Sequence[str]) -> Path:
    """A copy of the repository's own files in which mutmut may do what it wants with these, which are of one part."""
    folder = WORK / files[0].replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as config:
        mutated, tests = json.dumps([f"cbam_lite/{file}" for file in files]), json.dumps(tests_of_the_part(files[0]))
        config.write(CONFIG.format(files=mutated, tests=tests, tests_that_run=TESTS_THAT_RUN))
    return folder


def tests_of_the_part(file: str) -> list[str]:
    """All tests of the part that a file belongs to: mutmut itself finds which of them call a function."""
    part = f"tests/{Path(file).parent}"
    return [part] if "/" in file else tested_by(f"cbam_lite/{file}", ROOT)


def mutmut(folder: Path, *names: str) -> str:
    """Run these mutants, all by default; what mutmut printed."""
    command = [sys.executable, "-m", "mutmut", "run", *names]
    threads = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=folder, env=threads, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if "Running stats" not in line]  # it ticks
    return "\n".join(said)[-3000:] + done.stderr[-3000:]


def outcomes(folder: Path, file: str) -> dict[str, int | None]:
    """The exit status of the tests for each mutant; None for one that was not tried."""
    meta = folder / "mutants" / "cbam_lite" / f"{file}.meta"
    if not meta.is_file():
        return {}
    found: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return found


def plant(files: Sequence[str], sample: int, seed: int) -> list[Score]:
    """Plant mutants of these files, whose tests are the same, and see which are noticed."""
    folder = prepare(files)
    mutmut(folder, "*no_such_mutant*")  # makes them all, and stops
    drawn = {file: draw(sorted(outcomes(folder, file)), sample, f"{seed} {file}") for file in files}
    if not any(drawn.values()):
        return [Score(file) for file in files]
    said = mutmut(folder, *(name for names in drawn.values() for name in names))
    results = {file: {name: outcomes(folder, file)[name] for name in names} for file, names in drawn.items()}
    if all(status is None for of_file in results.values() for status in of_file.values()):
        sys.exit(f"mutmut tried nothing in {', '.join(files)}:\n{said}")
    return [judge(folder, file, of_file) for file, of_file in results.items()]


def draw(names: list[str], sample: int, seed: str) -> list[str]:
    """So many of the names, or all."""
    return random.Random(seed).sample(names, sample) if 0 < sample < len(names) else names


# ---- judging ---------------------------------------------------------------------------------------------------------


def judge(folder: Path, file: str, results: dict[str, int | None]) -> Score:
    """Count what was noticed; look at what was not."""
    score = Score(file, planted=len(results))
    functions = dict(functions_of((folder / "mutants" / "cbam_lite" / file).read_text()))
    known = EQUIVALENT.read_text().splitlines() if EQUIVALENT.is_file() else []
    for name, status in sorted(results.items()):
        mutant = functions[name.rsplit(".", 1)[1]]
        original = functions[name.rsplit(".", 1)[1].rsplit("__mutmut_", 1)[0] + "__mutmut_orig"]
        line = f"{file} {readable(name)}: {difference(original, mutant)}"
        if status in NOTICED:
            score.noticed += 1
        elif without_words(original) == without_words(mutant):
            score.words += 1
        elif any(entry.split("  # ")[0].strip() == line for entry in known):
            score.equivalent += 1
        else:
            score.survivors.append(line if status == 0 else f"{line} (status {status})")
    return score


def functions_of(code: str) -> Iterator[tuple[str, ast.AST]]:
    """Each function of a mutated file, by the name that mutmut gave it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name:
            yield node.name, node


def without_words(function: ast.AST) -> str:
    """The function without its name, and without the texts that it raises or hands to a check, which raises them."""
    copy = ast.parse(ast.unparse(function)).body[0]
    for node in ast.walk(copy):
        parts = ast.walk(node) if isinstance(node, ast.Raise | ast.JoinedStr) else iter(())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CHECKS:
            parts = iter(node.args)
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                part.value = ""
    assert isinstance(copy, ast.FunctionDef | ast.AsyncFunctionDef)
    copy.name = "f"
    return ast.unparse(copy)


def difference(original: ast.AST, mutant: ast.AST) -> str:
    """The changed line, before and after."""
    before, after = (re.sub(r"__mutmut_\w+", "", ast.unparse(function)).splitlines() for function in (original, mutant))
    changed = [f"{a.strip()} -> {b.strip()}" for a, b in zip(before, after, strict=False) if a != b]
    return changed[0] if changed else f"{len(before)} lines -> {len(after)} lines"


def readable(name: str) -> str:
    """`cbam_lite.networks.cost.xǁCostǁof__mutmut_1` -> `Cost.of`."""
    return name.rsplit(".", 1)[1].rsplit("__mutmut_", 1)[0].removeprefix("x").lstrip("ǁ_").replace("ǁ", ".")


def interval(noticed: int, counted: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, noticed / counted
    middle, half = p + z * z / (2 * counted), z * math.sqrt(p * (1 - p) / counted + z * z / (4 * counted**2))
    return (middle - half) / (1 + z * z / counted), (middle + half) / (1 + z * z / counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="such as networks/cost; every file by default")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each file; 0 plants all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    package = ROOT / "cbam_lite"
    every = sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    files = [f"{name.removesuffix('.py')}.py" for name in options.files] or every
    if unknown := [file for file in files if file not in every]:
        sys.exit(f"cbam_lite/{unknown[0]} is not there: name one as networks/cost")
    together: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        together.setdefault(tuple(tests_of_the_part(file)), []).append(file)
    scores: list[Score] = []
    for tests, of_one_part in together.items():
        for score in plant(of_one_part, options.sample, options.seed) if tests else []:
            print(score, *(f"    {line}" for line in score.survivors), sep="\n", flush=True)
            scores.append(score)
    noticed, survived = (sum(score.noticed for score in scores), sum(len(score.survivors) for score in scores))
    if noticed + survived:
        low, high = interval(noticed, noticed + survived)
        print(f"together: {noticed} of {noticed + survived} noticed, {noticed / (noticed + survived):.1%}", end=" ")
        print(f"(95 % interval {low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
