"""A training from a folder of photographs, as the command line makes it: what was asked for, kept beside the weights.

A run is a folder. ``run.json`` holds what was asked for, the class names and which photograph went into which part;
`fit` puts its checkpoints beside it. So a report or a prediction, days later, knows the network, the size of the images
and the part that the network has never seen.
"""

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor, nn

from cbam_lite.checks import choose, positive_int
from cbam_lite.networks.pretrained import pretrained
from cbam_lite.photographs.annotations import coco_file, labelme_folder, voc_folder
from cbam_lite.photographs.folders import image_folder, masked_folder, mvtec_folder
from cbam_lite.photographs.tables import csv_file
from cbam_lite.training.checkpoints import load_checkpoint, write_whole
from cbam_lite.training.defect_nets import ATTENTION, trained_defect_net
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import similar_groups, split

LAYOUTS = ("folders", "masked", "mvtec", "csv", "coco", "labelme", "voc")
GOOD = ("good", "ok", "clean", "free", "normal", "no defect", "intact")  # what people call the class without defect
SMALL = "small"  # the name of `defect_net` among the networks


@dataclass
class Run:
    """What a training was asked for, and what it found. Paths are as they were given."""

    data: str
    layout: str = "folders"
    size: int = 128
    masks: str | None = None
    groups: str = "auto"
    bits: int | None = None
    network: str = SMALL
    attention: str = "CBAM"
    weights: str = "DEFAULT"
    epochs: int = 40
    batch_size: int = 32
    lr: float = 3e-3
    balanced: bool = True
    shares: tuple[float, float] = (0.15, 0.15)
    seed: int = 0
    classes: list[str] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)  # "train", "valid", "test": paths of the photographs

    def __post_init__(self) -> None:
        choose("layout", self.layout, LAYOUTS)
        choose("attention", self.attention, ATTENTION)
        positive_int("size", self.size)

    def save(self, folder: Path) -> None:
        """Write ``run.json``, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "run.json", (json.dumps(asdict(self), indent=1) + "\n").encode())

    def asked(self) -> dict[str, Any]:
        """What was asked for, without what was found."""
        return {name: value for name, value in asdict(self).items() if name not in ("classes", "parts")}


def load_run(folder: str | Path) -> Run:
    """The run that a folder holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its file is damaged.
    """
    file = Path(folder).expanduser() / "run.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there: give the folder that `cbam-lite train --out` wrote")
    try:
        facts = json.loads(file.read_text())
        known = {name.name for name in fields(Run)}
        if not isinstance(facts, Mapping) or set(facts) != known:
            raise ValueError(f"it should hold {', '.join(sorted(known))}")
        return Run(**{**facts, "shares": tuple(facts["shares"])})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged: train again into another folder ({error})") from error


# ---- the photographs -------------------------------------------------------------------------------------------------


def layout_of(data: Path) -> str:
    """The layout that a folder or file seems to have; image_folder's errors name the others."""
    if data.suffix.lower() == ".csv":
        return "csv"
    if data.suffix.lower() == ".json":
        return "coco"
    return "mvtec" if (data / "train" / "good").is_dir() and (data / "test").is_dir() else "folders"


def grouping(groups: str) -> str | Callable[[PurePosixPath], Hashable] | None:
    """What `--groups` means: "none", "similar", "folder", or a pattern whose first bracket names the thing.

    "auto" is a table's own column of groups, and "similar" where there is none.
    """
    if groups == "none":
        return None
    if groups in ("auto", "similar"):
        return "similar"
    if groups == "folder":
        return lambda path: path.parent.as_posix()
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise ValueError(
            f"groups={groups!r} is no pattern: use none, similar, folder, or 'num_(\\d+)' ({error})"
        ) from error
    if pattern.groups != 1:
        raise ValueError(
            f"groups={groups!r} has {pattern.groups} brackets, and needs one around what names the thing: 'num_(\\d+)'"
        )

    def group_of(path: PurePosixPath) -> str:
        found = pattern.search(path.as_posix())
        if found is None:
            raise ValueError(f"groups={groups!r} is not found in {path}: change the pattern so that it fits every path")
        return found[1]

    return group_of


def read(run: Run, part: str = "test") -> LabelledImages:
    """The photographs of a run, in its layout; `part` is for MVTec only, whose train part has no defect."""
    data, size = Path(run.data).expanduser(), run.size
    options: dict[str, Any] = {"classes": run.classes or None, "groups": grouping(run.groups), "bits": run.bits}
    if run.layout == "mvtec":
        return mvtec_folder(data, size, part=part, **options)
    if run.layout == "masked":
        return masked_folder(data, size, masks=run.masks, **options)
    if run.layout == "coco":
        return coco_file(data, data.parent, size, **options)
    if run.layout == "csv" and run.groups == "auto":
        found = csv_file(data, size, **options | {"groups": None})
        return found if found.groups is not None else replace(found, groups=similar_groups(found.images))
    readers: dict[str, Callable[..., LabelledImages]] = {"folders": image_folder, "csv": csv_file}
    readers |= {"labelme": labelme_folder, "voc": voc_folder}
    return readers[run.layout](data, size, **options)


def parts_of(run: Run, data: LabelledImages) -> dict[str, LabelledImages]:
    """Train, validation and test part: those that the run remembers, else drawn by `split`, groups whole."""
    if data.paths is None:
        raise ValueError("the photographs carry no paths, so no part could be found again")
    if not run.parts:
        parts = dict(zip(("train", "valid", "test"), split(data, run.shares, seed=run.seed), strict=True))
        run.parts = {name: list(part.paths or ()) for name, part in parts.items()}
        return parts
    where = {path: number for number, path in enumerate(data.paths)}
    gone = [path for paths in run.parts.values() for path in paths if path not in where]
    if gone:
        raise FileNotFoundError(
            f"{len(gone)} photographs of this run are gone, {gone[0]} for one: put them back into {run.data}"
        )
    return {name: data.take(Tensor([where[path] for path in paths]).long()) for name, paths in run.parts.items()}


def good_of(classes: Sequence[str]) -> str | None:
    """The class without defect, by its name; None if no name says so."""
    return next((name for name in classes if name.lower().replace("_", " ") in GOOD), None)


# ---- the network -----------------------------------------------------------------------------------------------------


def network_of_run(run: Run, *, trained: bool, folder: Path | None = None) -> nn.Module:
    """The network that a run asks for: with its first weights, or with the last ones that its folder holds.

    The small one starts from what it has learnt on computed defects. Not the epoch of the best accuracy is taken: where
    most parts are good, that may be one which calls all of them good.
    """
    weights = None if trained or run.weights == "none" else run.weights
    if run.network == SMALL:
        model: nn.Module = trained_defect_net(run.attention, num_classes=len(run.classes))[0]  # type: ignore[arg-type]
    else:
        model = pretrained(run.network, len(run.classes), ATTENTION[run.attention], weights=weights, report=None)
    if trained:
        assert folder is not None
        tensors, _ = load_checkpoint(folder, "last")
        model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        model.classes = run.classes  # type: ignore[assignment]
    return model.eval()


def layer_of_run(run: Run) -> str | None:
    """Where maps are taken by default: in the small network at the second stage, which finds small defects best.

    Chapter 8 has the numbers, for computed defects and for magnetic tiles. Elsewhere the last map is taken; larger
    defects ask for it, too.
    """
    return "layer2" if run.network == SMALL else None
