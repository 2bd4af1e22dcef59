"""What a long run over a folder needs: which files there are, what is done already, and whether it may go on."""

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cbam_lite.photographs.finding import images_below


def photographs_in(source: Path, out: Path) -> list[Path]:
    """All images below a folder, as the loaders find them, but for what lies in `out`."""
    return [path for path in images_below(source).images if out.resolve() not in path.resolve().parents]


def checked_names(classes: Sequence[str]) -> list[str]:
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(c, str) for c in classes):
        raise TypeError(f"classes must be a list of names, got {classes!r}: data.classes of the training data")
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes names one class twice: {list(classes)}")
    return list(classes)


def weights_hash(model: nn.Module) -> str:
    """A hash of all weights and statistics of a model, and of their names."""
    digest = hashlib.sha256(type(model).__qualname__.encode())
    for name, values in model.state_dict().items():
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def resumed(table: Path, beside: Path, settings: dict[str, Any]) -> set[str]:
    """The paths that are in the table already; an error if it was made otherwise. A half written last line is cut."""
    text = table.read_bytes() if table.is_file() else b""
    whole = text[: text.rfind(b"\n") + 1]
    rows = list(csv.reader(io.StringIO(whole.decode("utf-8", "surrogateescape"), newline="")))[1:]
    if rows:
        before = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        refuse_changes(table, before, settings)
    table.write_bytes(whole if rows else b"")  # a heading alone is no result that could be mixed up
    beside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return {row[0] for row in rows}


def refuse_changes(table: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """An error that names what is not as it was when the table was begun."""
    changed = [
        f"{name} {before.get(name)!r}, now {value!r}" for name, value in now.items() if before.get(name) != value
    ]
    if changed:
        raise ValueError(
            f"{table} was made with {'; '.join(changed)}: give another folder as out, or delete {table.name} to begin "
            "anew"
        )


@contextlib.contextmanager
def ticking(total: int, shown: bool) -> Iterator[Callable[[int], object]]:
    """A progress bar of so many photographs, where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        shown = False
    if not shown:
        yield lambda count: None
        return
    with tqdm(total=total, unit="image") as bar:
        yield bar.update
