"""What the experiments share: a table that says how it was made, which grows run by run and is always whole."""

import csv
import io
import json
import multiprocessing
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import torch

import cbam_lite
from cbam_lite.training.checkpoints import write_whole

ROOT = Path(__file__).resolve().parent.parent
Job = TypeVar("Job")
Rows = list[dict[str, Any]]


def header(command: str, device: str, **about: Any) -> list[str]:
    """What a reader needs to judge the numbers and to make them again."""
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, one thread for each run"
    versions = f"cbam_lite {cbam_lite.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    facts = [f"# {name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in about.items()]
    return [
        f"# command: {command}",
        *facts,
        f"# versions: {versions}",
        f"# hardware: {hardware}",
        f"# date: {date.today()}",
    ]


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    return names[0].split(":")[1].strip() if names else platform.machine()


def read_rows(path: Path, expected: list[str]) -> Rows:
    """The rows of an earlier call, if it was made as this one is."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines()
    found = [line for line in lines if line.startswith("#")]
    if found[1:-1] != expected[1:-1]:  # the command may ask for more seeds now, and the date is another one
        differ = next(f"{a!r}, now {b!r}" for a, b in zip(found[1:], expected[1:], strict=False) if a != b)
        raise ValueError(f"{path} was made otherwise: {differ}. Name another folder with --out, or take the file away")
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def write_rows(path: Path, head: list[str], columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """All rows, in one step of the file system."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("\n".join(head) + "\n" + text.getvalue()).encode())


def results(run: Callable[[Job], tuple[Job, Rows]], jobs: list[Job], workers: int) -> Iterator[tuple[Job, Rows]]:
    """What each job gives, as soon as it is done; several at a time."""
    if workers == 1:
        yield from map(run, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(run, jobs)
