"""The experiments' and benchmarks' results, which come with the package. `seeds` says what a few of them can show."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cbam_lite.checks import choose, whole

FOLDER = Path(__file__).with_name("results")
EXPERIMENTS = ("defects", "defects_finetune", "cifar10", "cifar10_finetune")
LOCALISATIONS = ("localisation", "magnetic_tile")
DETECTIONS = ("detection", "detection_finetune")
BOX_MAPS = "box_maps"
FAITHFULNESS = "faithfulness"
CHECKS = "checks"
Row = TypeVar("Row")
TABLES = (*EXPERIMENTS, *LOCALISATIONS, FAITHFULNESS, *DETECTIONS, BOX_MAPS, CHECKS)


@dataclass(frozen=True)
class Epoch:
    """One epoch of one run. Epoch 0 is before training, where `train_loss` is NaN. Accuracies are from 0 to 1."""

    variant: str
    seed: int
    epoch: int
    train_loss: float
    test_loss: float
    test_accuracy: float


def read_results(experiment: str) -> list[Epoch]:
    """All rows of one experiment: "defects", "defects_finetune", "cifar10" or "cifar10_finetune".

    The files are made by ``experiments/ablation.py``; `provenance` tells how.

    Example:
        >>> rows = read_results("defects")
        >>> rows[0].variant, rows[0].seed, rows[0].epoch
        ('plain', 0, 0)
    """
    return rows_where(choose("experiment", experiment, EXPERIMENTS), Epoch, {})


@dataclass(frozen=True)
class Score:
    """How well one kind of map lies on the defects, with its 95 % interval over images.

    Chance and ceiling have the network "-". The metric "accuracy" is that of the network on all test images, and has
    neither layer nor method. `images` were scored; `undefined` of them have no such score, as the energy
    of a map that is zero everywhere.
    """

    network: str
    seed: int
    defect: str
    layer: str
    method: str
    metric: str
    score: float
    low: float
    high: float
    images: int
    undefined: int


def read_scores(table: str = "localisation", **where: object) -> list[Score]:
    """The rows of "localisation" or "magnetic_tile" in which the named columns have the given values.

    The files are made by ``experiments/localisation.py`` and ``experiments/tiles.py``; `provenance` tells how.

    Example:
        >>> found = read_scores(network="CBAM", method="LayerCAM", metric="pointing", seed=0, defect="all")
        >>> {row.layer: row.score for row in found}
        {'layer1': 0.6382, ...}

    Raises:
        ValueError: there is no such table, or no such column.
    """
    return rows_where(choose("table", table, LOCALISATIONS), Score, where)


@dataclass(frozen=True)
class Faithfulness:
    """What one kind of map of one network scores in one test, the mean over its images.

    `stage` is the last stage that was made random in the tests of forgetting, and "-" elsewhere.
    """

    network: str
    seed: int
    test: str
    map: str
    stage: str
    score: float


def read_faithfulness(**where: object) -> list[Faithfulness]:
    """The rows of "faithfulness" in which the named columns have the given values.

    The file is made by ``experiments/faithfulness.py``, which says what each test is.

    Example:
        >>> rows = read_faithfulness(network="CBAM", test="other image", map="LayerCAM, layer3", stage="conv1")
        >>> [row.seed for row in rows]
        [0, 1, 2, 3, 4]

    Raises:
        ValueError: there is no such column.
    """
    return rows_where(FAITHFULNESS, Faithfulness, where)


@dataclass(frozen=True)
class Detector:
    """One trained detector: its average precisions on the test images, from 0 to 1, by COCO's rule."""

    variant: str
    seed: int
    AP: float
    AP50: float
    AP75: float
    small: float
    medium: float
    train_loss: float
    seconds: float


def read_detections(table: str = "detection") -> list[Detector]:
    """The rows of "detection" (trained from nothing) or "detection_finetune" (attention put into a trained detector).

    The files are made by ``experiments/detection.py``; `provenance` tells how.

    Example:
        >>> rows = read_detections("detection")
        >>> rows[0].variant, rows[0].seed
        ('none', 0)
    """
    return rows_where(choose("table", table, DETECTIONS), Detector, {})


@dataclass(frozen=True)
class BoxMaps:
    """How well one kind of map lies on the defect whose box it explains, with its 95 % interval over images.

    Chance and ceiling have the layer "-". `boxes` were scored.
    """

    layer: str
    method: str
    metric: str
    score: float
    low: float
    high: float
    boxes: int


def read_box_maps(**where: object) -> list[BoxMaps]:
    """The scores of the maps of single boxes, in which the named columns have the given values.

    The file is made by ``experiments/box_maps.py``; ``provenance("box_maps")`` tells how.

    Example:
        >>> [row.metric for row in read_box_maps(layer="-", method="uniform")]
        ['energy', 'pointing', 'deletion']

    Raises:
        ValueError: there is no such column.
    """
    return rows_where(BOX_MAPS, BoxMaps, where)


@dataclass(frozen=True)
class Checked:
    """One implementation, right or wrong, and what `check` says of it.

    `collection` is "known" (at hand while the checker was written), "fresh, first" (written by others, as first
    measured) or "fresh" (the same, after what they showed was mended). `key` is its mistake, "right" for none;
    `passed` is 1 or 0; `answered` is the mistake that the checker named, "-" for none.
    """

    collection: str
    like: str
    name: str
    key: str
    passed: int
    answered: str
    seconds: float


def read_checks(**where: object) -> list[Checked]:
    """How right `check` is: the rows of "checks" in which the named columns have the given values.

    The file is made by ``experiments/confusion.py`` from the implementations in ``tests/practice/collection``.

    Example:
        >>> {row.passed for row in read_checks(collection="known", key="right")}
        {1}

    Raises:
        ValueError: there is no such column.
    """
    return rows_where(CHECKS, Checked, where)


def read_boards() -> dict[str, Any]:
    """What the small detector scores on DeepPCB, how it was trained, and what is published.

    The file is made by ``experiments/boards.py``.

    Example:
        >>> read_boards()["all test boards"]["boards"]
        500
    """
    found: dict[str, Any] = json.loads((FOLDER / "boards.json").read_text())
    return found


def read_speed(device: str = "cpu") -> dict[str, Any]:
    """The stored timings: "modules", "networks" and "compiler", each with its hardware, as ``make speed`` writes them.

    Args:
        device: "cpu" or "cuda".

    Raises:
        FileNotFoundError: nobody has measured on such a device yet.

    Example:
        >>> sorted(read_speed("cpu"))
        ['compiler', 'compiler_hardware', 'hardware', 'modules', 'networks', 'networks_hardware']
    """
    file = FOLDER / f"speed_{choose('device', device, ('cpu', 'cuda'))}.json"
    if not file.exists():
        raise FileNotFoundError(f"no timings on {device} are stored: run `make speed` on a machine that has one")
    return json.loads(file.read_text())


def read_commands() -> dict[str, Any]:
    """What ``cbam-lite`` said about the magnetic tiles: "command", "hardware" ... and "commands" with their seconds.

    The file is made by ``experiments/tiles_by_command.py``.
    """
    found: dict[str, Any] = json.loads((FOLDER / "tiles_by_command.json").read_text())
    return found


def provenance(experiment: str) -> dict[str, str]:
    """How a file was made, "command", "versions", "hardware", "date" and more; `experiment` is any of the tables.

    Example:
        >>> provenance("defects")["command"]
        'python experiments/ablation.py --task defects --seeds 8 --device cpu'
    """
    lines = [line[2:] for line in text_of(experiment).splitlines() if line.startswith("# ")]
    return dict(line.split(": ", 1) for line in lines)


def text_of(experiment: str) -> str:
    return (FOLDER / f"{choose('experiment', experiment, TABLES)}.csv").read_text()


def rows_where(table: str, kind: type[Row], where: Mapping[str, object]) -> list[Row]:
    """The rows of a table as this kind of row, whose fields are its columns, where these columns have these values."""
    columns = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    for name in where:
        choose("column", name, columns)
    lines = [line for line in text_of(table).splitlines() if not line.startswith("#")]
    found = [kind(**{name: columns[name](text) for name, text in row.items()}) for row in csv.DictReader(lines)]  # type: ignore[operator]
    return [row for row in found if all(getattr(row, name) == value for name, value in where.items())]


def final_accuracy(
    rows: Sequence[Epoch], variant: str, epoch: int | None = None
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Test accuracies of one variant after an epoch (the last, if None), one for each seed, in the order of the seeds.

    Raises:
        ValueError: no run of that name is there, or not that epoch of it.

    Example:
        >>> rows = read_results("defects")
        >>> final_accuracy(rows, "CBAM").shape  # one accuracy for each seed
        (8,)
    """
    if not rows:
        raise ValueError("rows is empty: give those of read_results(...)")
    choose("variant", variant, dict.fromkeys(row.variant for row in rows))
    last = max(row.epoch for row in rows)
    last = last if epoch is None else whole("epoch", epoch, 0, last)
    found = sorted((row.seed, row.test_accuracy) for row in rows if row.variant == variant and row.epoch == last)
    return np.array([accuracy for _, accuracy in found])
