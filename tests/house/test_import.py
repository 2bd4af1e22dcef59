"""What `import cbam_lite` asks for, brings along and offers."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import cbam_lite
from cbam_lite import version

ROOT = Path(__file__).resolve().parents[2]


def python(program: str, *path: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in a fresh interpreter, with these folders and the repository first on its path."""
    text = f"import sys; sys.path[:0] = {[*map(str, path), str(ROOT)]}\n{program}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)


# ---- old versions are named ------------------------------------------------------------------------------------------


def test_the_bounds_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={version.PYTHON}"
    assert f"torch>={version.TORCH}" in project["dependencies"]
    floor = (ROOT / "tools" / "floor.txt").read_text().splitlines()
    for line in project["dependencies"]:
        name, lowest = line.split(">=")
        assert f"{name}=={lowest}.0" in floor, f"{line} is not what tools/floor.txt tests"


def test_an_old_torch_is_named_before_anything_else_is_imported(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("__version__ = '2.4.1+cu121'")
    program = """
try:
    import cbam_lite
except ImportError as error:
    print(error)
print(*sorted({name for name in sys.modules if name.startswith(("cbam_lite", "numpy", "matplotlib", "torch"))}))
"""
    done = python(program, tmp_path)
    assert done.stdout.splitlines() == [
        'cbam_lite needs PyTorch 2.6 or newer, this is 2.4.1+cu121: pip install --upgrade "torch>=2.6"',
        "cbam_lite.version torch",
    ]


def test_a_missing_torch_and_an_old_python_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(
            ImportError, match=r'^cbam_lite needs PyTorch 2.6 or newer, here is none: pip install .*2.6"$'
        ):
            version.check_versions()
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(
        ImportError, match=r"^cbam_lite needs Python 3.10 or newer, this is 3.9.18: uv venv --python 3.12$"
    ):
        version.check_versions()


@pytest.mark.parametrize(
    ("there", "fits"),
    [("2.5.1", False), ("1.13.1", False), ("2.6.0", True), ("2.10.0a0+git7f3c", True), ("3.0", True)],
)
def test_versions_are_compared_as_numbers(there: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", there)
    if fits:
        version.check_versions()
        return
    with pytest.raises(ImportError, match=rf"this is {re.escape(there)}: "):
        version.check_versions()


@pytest.mark.parametrize("name", ["__init__.py", "version.py"])
def test_an_old_python_reads_far_enough_to_say_so(name: str) -> None:
    assert ast.parse((ROOT / "cbam_lite" / name).read_text(), feature_version=(3, 7)).body


@pytest.mark.parametrize("path", sorted((ROOT / "cbam_lite").rglob("*.py")), ids=lambda path: path.stem)
def test_the_oldest_python_can_read_the_package(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=tuple(map(int, version.PYTHON.split("."))))
    assert ast.get_docstring(tree), "a file says first what it is"


# ---- a light import --------------------------------------------------------------------------------------------------

# Each costs a good part of the time that torch takes, or may not be installed. They are imported where they are used.
HEAVY = (
    "IPython",
    "PIL",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "safetensors",
    "scipy",
    "sklearn",
    "torchvision",
    "tqdm",
    "triton",
)


def test_the_import_brings_nothing_heavy_that_torch_does_not_bring() -> None:
    program = f"""
import torch
before = set(sys.modules)
import cbam_lite
print(sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & set({HEAVY})))
"""
    done = python(program)
    assert done.stdout == "[]\n", done.stderr


def test_drawing_imports_what_it_needs() -> None:
    program = """
from cbam_lite import cat_photo, overlay, plot
import torch
print(overlay(cat_photo(), torch.rand(4, 4)).shape)
import matplotlib
matplotlib.use("Agg")
with plot.figure("A cat", "a photograph of a cat, for a test") as (ax,):
    plot.draw_image(ax, cat_photo())
"""
    done = python(program)
    assert done.stdout == "(192, 192, 3)\n", done.stderr


# ---- no circles ------------------------------------------------------------------------------------------------------


def at_once(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported: none in functions, none for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_once(ast.Module(node.orelse, []))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from at_once(node)


def imports(package: Path) -> dict[str, set[str]]:
    """For each module of a package, the modules of it that its import imports.

    The packages above a module run before it, too; only what they import themselves is counted, because an
    `__init__.py` at the top that gathers all modules is in a circle with each of them, and a harmless one.
    """
    names = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in at_once(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
                continue
            assert not node.level, f"{name} has a relative import, which this test does not read"
            # `from package import name` takes a module, or something out of the package's own file
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & set(names)) or {str(node.module)}
        graph[name] = found & set(names)
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, its first also at the end; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (walk(other, [*path, name]) for other in sorted(graph[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in sorted(graph))), [])


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = imports(ROOT / "cbam_lite")
    assert "cbam_lite.attention.parts" in graph["cbam_lite.attention.cbam"]
    assert "cbam_lite.speed.reasons" in graph["cbam_lite.speed.fused"], "`from cbam_lite.speed import reasons`"
    assert circle(graph) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    package = tmp_path / "made_up"
    (package / "sub").mkdir(parents=True)
    files = {
        "__init__.py": "from made_up.a import x",
        "a.py": "import os\nfrom made_up.sub import b",
        "sub/__init__.py": "",
        "sub/b.py": "import made_up.c\nif True:\n    import json",
        "c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made_up.a import x\n"
        "def later():\n    from made_up.a import x",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    assert imports(package)["made_up.a"] == {"made_up.sub.b"}
    assert circle(imports(package)) == []
    (package / "c.py").write_text("try:\n    from made_up.a import x\nexcept ImportError:\n    x = None")
    assert circle(imports(package)) == ["made_up.a", "made_up.sub.b", "made_up.c", "made_up.a"]


def test_training_does_not_need_photographs() -> None:
    """Images come from anywhere, so what trains on them stands below what reads them."""
    graph = imports(ROOT / "cbam_lite")
    assert "cbam_lite.training.images" in graph["cbam_lite.photographs.folders"]
    needed = {other for name, others in graph.items() if name.startswith("cbam_lite.training") for other in others}
    assert not {name for name in needed if name.startswith("cbam_lite.photographs")}


# ---- what it offers --------------------------------------------------------------------------------------------------

PUBLIC = [
    "AttentionMaps",
    "BoxedImages",
    "CBAM",
    "ChannelAttention",
    "Comparison",
    "Cost",
    "EfficientChannelAttention",
    "History",
    "LabelledImages",
    "MobileNet",
    "Objects",
    "ResNet",
    "SpatialAttention",
    "SplitAttention",
    "SqueezeExcitation",
    "YoloTiny",
    "__version__",
    "anchors_for",
    "attend",
    "average_precision",
    "boxed",
    "cam",
    "cat_photo",
    "check",
    "check_answer",
    "coco_boxes",
    "coco_file",
    "compare",
    "cost",
    "crops",
    "csv_file",
    "decode",
    "defect_net",
    "describe",
    "detect",
    "eca_kernel_size",
    "evaluate",
    "explain_boxes",
    "export_onnx",
    "export_weights",
    "final_accuracy",
    "fit",
    "fit_detector",
    "flips",
    "flips_with_boxes",
    "fuse",
    "image_folder",
    "insert_attention",
    "labelme_folder",
    "letterbox",
    "lights_and_flips",
    "load_checkpoint",
    "load_port",
    "load_weights",
    "make_boxed_defects",
    "make_defects",
    "masked_folder",
    "mean_interval",
    "measure",
    "multiply_adds",
    "mvtec_folder",
    "network_of",
    "output_size",
    "overlay",
    "partial_maps",
    "pcb_boards",
    "pcb_folder",
    "predict",
    "predict_folder",
    "predict_tiles",
    "pretrained",
    "printed_tables",
    "provenance",
    "read_boards",
    "read_box_maps",
    "read_checks",
    "read_darknet",
    "read_detections",
    "read_faithfulness",
    "read_results",
    "read_scores",
    "read_speed",
    "record_attention",
    "report",
    "resnest50",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101",
    "resnext50",
    "save_checkpoint",
    "score",
    "seeds_needed",
    "shifts_and_mirrors",
    "split",
    "torchvision_data",
    "trained_defect_net",
    "trained_detector",
    "unfuse",
    "use_fused",
    "voc_folder",
    "why_not",
    "wide_resnet18",
    "write_darknet",
    "yolo_folder",
    "yolo_tiny",
]
MODULES = ["faithfulness", "gradcam", "localize", "plot"]  # offered, too, but not by `from cbam_lite import *`


def natural(name: str) -> tuple[int, list[str | int]]:
    """ruff's order (RUF022): constants, classes, the rest; numbers by their value."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def test_the_names_on_offer_are_sorted_complete_and_as_ever() -> None:
    """A name less breaks somebody's code, a name more needs a page in the reference: both change this list, too."""
    offered = cbam_lite.__all__
    assert offered == sorted(offered, key=natural)
    assert sorted(offered) == sorted(PUBLIC)
    imported = {
        alias.asname or alias.name
        for node in ast.parse((ROOT / "cbam_lite" / "__init__.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported - {"check_versions"} == {*offered, *MODULES}, "what __init__.py imports and what it offers differ"
    assert all(hasattr(cbam_lite, name) for name in imported)
