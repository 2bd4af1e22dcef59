"""What nbval does not see: rules over the notebooks' JSON. Each rule is shown to fail on a notebook that breaks it."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from first_cell import first_cell

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.stem != "welcome"]
TAGS = {
    "remove-cell",
    "hide-input",
    "hide-cell",
    "hide-output",
    "nbval-ignore-output",
    "exercise",
    "solution",
}
ABSOLUTE = re.compile(r"(?<![\w.])(?:/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\)")

Notebook = dict[str, Any]


def code(notebook: Notebook) -> list[Notebook]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: Notebook) -> str:
    return "".join(cell["source"])


def tags(cell: Notebook) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def headings(notebook: Notebook) -> list[str]:
    prose = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return [line for text in prose for line in text.splitlines() if re.match("#+ ", line)]


def lines_of_code(cell: Notebook) -> int:
    return sum(1 for line in source(cell).splitlines() if line.strip() and not line.strip().startswith("#"))


def outputs(notebook: Notebook) -> Iterator[tuple[Notebook, Notebook]]:
    return ((cell, output) for cell in code(notebook) for output in cell["outputs"])


# ---- the rules: each gives what is wrong, or nothing ---------------------------------------------------------------


def first_cell_is_the_canonical_one(notebook: Notebook) -> Iterator[str]:
    first = code(notebook)[0]
    if source(first) != first_cell() or tags(first) != {"remove-cell"}:
        yield "the first code cell is not tools/first_cell.py's, tagged remove-cell"


def every_cell_has_run_in_order(notebook: Notebook) -> Iterator[str]:
    counts = [cell["execution_count"] for cell in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: run `make notebooks`"


def figures_and_prints_are_stored(notebook: Notebook) -> Iterator[str]:
    for cell in code(notebook):
        if re.search(r"^ *(print\(|with plot\.figure\()", source(cell), re.M) and not cell["outputs"]:
            yield f"a cell that shows something stores no output: {source(cell)[:60]!r}"


def outputs_are_clean(notebook: Notebook) -> Iterator[str]:
    for _cell, output in outputs(notebook):
        if output.get("name") == "stderr":
            yield f"stderr is stored: {output['text']}"
        if "image/svg+xml" in output.get("data", {}):
            yield "an SVG is stored: its ids change from run to run"
        if output["output_type"] == "error":
            yield f"an error is stored, with paths of this machine: {output['evalue']}; catch it and print it"


def tags_are_known(notebook: Notebook) -> Iterator[str]:
    for cell in notebook["cells"]:
        if unknown := tags(cell) - TAGS:
            yield f"unknown tags {unknown}; known are {sorted(TAGS)}"


def paths_are_relative(notebook: Notebook) -> Iterator[str]:
    if found := ABSOLUTE.findall(json.dumps(notebook["cells"], ensure_ascii=False)):
        yield f"absolute paths {sorted(set(found))}"


def figures_have_a_text(notebook: Notebook) -> Iterator[str]:
    for cell, output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            text = "".join(output["data"].get("text/plain", ""))
            if len(text) < 20 or text.startswith("<Figure"):
                yield f"a figure without a text, use plot.figure or plot.show: {source(cell)[:60]!r}"


def cells_are_short(notebook: Notebook) -> Iterator[str]:
    for cell in code(notebook):
        if lines_of_code(cell) > 15:
            yield f"{lines_of_code(cell)} lines of code, at most 15: {source(cell)[:60]!r}"


def shown_code_fits_the_page(notebook: Notebook) -> Iterator[str]:
    for cell in code(notebook):
        if not tags(cell) & {"remove-cell", "hide-input", "hide-cell"}:
            yield from (f"more than 92 characters: {line}" for line in source(cell).splitlines() if len(line) > 92)


def magics_are_only_pip(notebook: Notebook) -> Iterator[str]:
    for cell in code(notebook)[1:]:
        if magic := re.search(r"^\s*[%!]\S*", source(cell), re.M):
            yield f"{magic[0]!r} is no Python; an unknown magic passes unseen"


def package_is_imported(notebook: Notebook) -> Iterator[str]:
    if not any(re.search(r"^(from|import) cbam_lite", source(cell), re.M) for cell in code(notebook)):
        yield "cbam_lite is not imported"


def metadata_is_plain(notebook: Notebook) -> Iterator[str]:
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3" or "widgets" in notebook["metadata"]:
        yield "the kernel must be python3, without widget state"
    if any("execution" in cell["metadata"] for cell in notebook["cells"]):
        yield "time stamps are stored: run `make notebooks`"


def solutions_are_folded(notebook: Notebook) -> Iterator[str]:
    for cell in code(notebook):
        is_solution = source(cell).startswith("# @title Solution to exercise")
        folded = {"hide-cell", "solution"} <= tags(cell) and cell["metadata"].get("cellView") == "form"
        if is_solution != folded:
            yield f"a solution is tagged hide-cell and solution, cellView form, and titled: {source(cell)[:60]!r}"


def page_has_a_title_and_asserts(notebook: Notebook) -> Iterator[str]:
    if sum(line.startswith("# ") for line in headings(notebook)) != 1:
        yield "one heading of the first level is the title"
    if not any(re.search(r"^ *assert ", source(cell), re.M) for cell in code(notebook)):
        yield "nothing is asserted"


def chapter_sums_up_and_asks(notebook: Notebook) -> Iterator[str]:
    if missing := {"## Summary", "## Exercises"} - set(headings(notebook)):
        yield f"a chapter has {sorted(missing)}"
    solutions = sum("solution" in tags(cell) for cell in code(notebook))
    if solutions < 3:
        yield f"{solutions} solutions, a chapter has at least 3"


RULES: list[Callable[[Notebook], Iterator[str]]] = [
    first_cell_is_the_canonical_one,
    every_cell_has_run_in_order,
    figures_and_prints_are_stored,
    outputs_are_clean,
    tags_are_known,
    paths_are_relative,
    figures_have_a_text,
    cells_are_short,
    shown_code_fits_the_page,
    magics_are_only_pip,
    package_is_imported,
    metadata_is_plain,
    solutions_are_folded,
    page_has_a_title_and_asserts,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path: Path, rule: Callable[[Notebook], Iterator[str]]) -> None:
    assert list(rule(json.loads(path.read_text()))) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_sums_up_and_asks(path: Path) -> None:
    assert list(chapter_sums_up_and_asks(json.loads(path.read_text()))) == []


def test_notebooks_are_those_of_the_table_of_contents() -> None:
    assert notebooks_of(ROOT) == notebooks_of_the_toc(ROOT)


def test_notebooks_are_small() -> None:
    assert {path.name: path.stat().st_size for path in NOTEBOOKS if path.stat().st_size > 1_000_000} == {}


def notebooks_of(root: Path) -> set[str]:
    return {f"book/{path.stem}" for path in (root / "book").glob("*.ipynb")}


def notebooks_of_the_toc(root: Path) -> set[str]:
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    return {page for page in pages if not (root / f"{page}.md").exists()}


# ---- each rule must fail on a notebook that breaks it ----------------------------------------------------------------


def good_notebook() -> Notebook:
    """A chapter that keeps every rule: first cell, a figure, three solutions."""
    figure = {"output_type": "display_data", "data": {"image/png": "", "text/plain": "A figure with numbers 1 and 2."}}
    solution = {"tags": ["hide-cell", "solution"], "cellView": "form"}
    cells = [
        {"source": first_cell(), "metadata": {"tags": ["remove-cell"]}, "outputs": []},
        {"source": "import cbam_lite\nassert 1 == 1\nprint(1)", "metadata": {}, "outputs": [figure]},
        *({"source": f"# @title Solution to exercise {n}", "metadata": solution, "outputs": []} for n in (1, 2, 3)),
    ]
    counted = [{"cell_type": "code", "execution_count": count, **cell} for count, cell in enumerate(cells, start=1)]
    prose = {"cell_type": "markdown", "source": "# Title\n## Summary\n## Exercises", "metadata": {}}
    return copy.deepcopy({"cells": [*counted, prose], "metadata": {"kernelspec": {"name": "python3"}}})


def stored(kind: str, **content: object) -> Callable[[Notebook, Notebook], object]:
    return lambda nb, cell: cell.update(outputs=[{"output_type": kind, **content}])


def written(source: str) -> Callable[[Notebook, Notebook], object]:
    return lambda nb, cell: cell.update(source=source)


def tagged(*tags: str) -> Callable[[Notebook, Notebook], object]:
    return lambda nb, cell: cell["metadata"].update(tags=list(tags))


# Each breaks a good notebook, or the cell with the figure in it.
BREAKS: list[tuple[Callable[[Notebook], Iterator[str]], Callable[[Notebook, Notebook], object]]] = [
    (first_cell_is_the_canonical_one, lambda nb, cell: nb["cells"][0].update(source="%pip install cbam-lite")),
    (first_cell_is_the_canonical_one, lambda nb, cell: nb["cells"][0]["metadata"].clear()),
    (every_cell_has_run_in_order, lambda nb, cell: cell.update(execution_count=None)),
    (every_cell_has_run_in_order, lambda nb, cell: cell.update(execution_count=7)),
    (figures_and_prints_are_stored, lambda nb, cell: cell.update(outputs=[])),
    (outputs_are_clean, stored("stream", name="stderr", text="a warning")),
    (outputs_are_clean, stored("display_data", data={"image/svg+xml": "<svg/>"})),
    (outputs_are_clean, stored("error", ename="ValueError", evalue="wrong")),
    (tags_are_known, tagged("hide_input")),
    (paths_are_relative, written("open('/home/me/cat.png')")),
    (paths_are_relative, written(r"open('C:\cat.png')")),
    (paths_are_relative, stored("stream", name="stdout", text="/tmp/cat.png")),
    (figures_have_a_text, stored("display_data", data={"image/png": "", "text/plain": "<Figure size 640x480 with 1>"})),
    (figures_have_a_text, stored("display_data", data={"image/png": "", "text/plain": "A figure."})),
    (figures_have_a_text, stored("display_data", data={"image/png": ""})),
    (cells_are_short, written("x = 1\n" * 16)),
    (shown_code_fits_the_page, written("x = 1  # " + 90 * "x")),
    (magics_are_only_pip, written("%matplotlib inline")),
    (magics_are_only_pip, written("!ls")),
    (package_is_imported, written("import torch\nassert True")),
    (metadata_is_plain, lambda nb, cell: nb["metadata"].update(widgets={})),
    (metadata_is_plain, lambda nb, cell: nb["metadata"]["kernelspec"].update(name="conda-env")),
    (metadata_is_plain, lambda nb, cell: cell["metadata"].update(execution={"iopub.status.busy": "2026"})),
    (solutions_are_folded, written("# @title Solution to exercise 4")),
    (solutions_are_folded, lambda nb, cell: nb["cells"][2]["metadata"].pop("cellView")),
    (page_has_a_title_and_asserts, written("import cbam_lite  # assert nothing")),
    (page_has_a_title_and_asserts, lambda nb, cell: nb["cells"].pop()),
    (chapter_sums_up_and_asks, lambda nb, cell: nb["cells"].pop()),
    (chapter_sums_up_and_asks, lambda nb, cell: nb["cells"].pop(2)),
]


@pytest.mark.parametrize("rule", [*RULES, chapter_sums_up_and_asks], ids=lambda rule: rule.__name__)
def test_rule_passes_a_good_notebook_and_is_shown_to_fail(rule: Callable[[Notebook], Iterator[str]]) -> None:
    assert list(rule(good_notebook())) == []
    assert rule in [broken for broken, _ in BREAKS]


@pytest.mark.parametrize(("rule", "damage"), BREAKS, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(BREAKS)])
def test_rule_fails_a_broken_notebook(
    rule: Callable[[Notebook], Iterator[str]], damage: Callable[[Notebook, Notebook], object]
) -> None:
    broken = good_notebook()
    damage(broken, broken["cells"][1])
    assert list(rule(broken)) != []


@pytest.mark.parametrize("change", [lambda book: book / "b.ipynb", lambda book: book / "a.ipynb"], ids=["new", "gone"])
def test_notebook_missing_on_either_side_is_seen(tmp_path: Path, change: Callable[[Path], Path]) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/a\nparts: []")
    path = change(tmp_path / "book")
    (tmp_path / "book" / "a.ipynb").touch()
    assert notebooks_of(tmp_path) == notebooks_of_the_toc(tmp_path)
    path.unlink() if path.exists() else path.touch()
    assert notebooks_of(tmp_path) != notebooks_of_the_toc(tmp_path)
