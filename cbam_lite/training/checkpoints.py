"""Checkpoints that are whole or not there.

A checkpoint is two files: tensors (safetensors, no code inside) and facts (JSON), which names the tensors' file and its
hash. The JSON is put in place last, in one step of the file system. So power may fail at any moment, and a reader finds
the old checkpoint or the new one, never a mixture.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor


def save_checkpoint(folder: str | Path, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write ``name.json`` and the file of tensors that it names, atomically; returns the path of the JSON.

    Args:
        folder: made if it is not there.
        name: "last", for example. A checkpoint of the same name is replaced.
        tensors: what to keep, by name. Copies go to the CPU.
        facts: anything that JSON can hold, under keys other than "tensors" and "sha256".
    """
    save = safetensors().save
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # A clone each, because safetensors refuses tensors that share memory, as tied weights do.
    content = save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    file = folder / f"{name}-{digest[:12]}.safetensors"
    write_whole(file, content)
    facts = {"tensors": file.name, "sha256": digest, **facts}
    write_whole(folder / f"{name}.json", (json.dumps(facts, indent=1) + "\n").encode())  # from here on it counts
    for old in folder.glob(f"{name}-*.safetensors"):
        if old != file:
            old.unlink()
    return folder / f"{name}.json"


def load_checkpoint(folder: str | Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the facts of a checkpoint.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: a file is damaged: the hash of the tensors is not the one in the JSON.
    """
    load, path = safetensors().load, Path(folder) / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give a folder and a name that save_checkpoint was called with")
    try:
        facts = json.loads(path.read_text())
        content = (path.parent / facts["tensors"]).read_bytes()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} is damaged, or its tensors are gone: take the checkpoint away ({error})") from error
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise ValueError(
            f"{path.parent / facts['tensors']} is damaged, its hash is another one: take the checkpoint away"
        )
    return load(content), facts


def safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError("checkpoints are kept by safetensors: pip install safetensors") from error
    return safetensors.torch


def write_whole(path: Path, content: bytes) -> None:
    """All of the content under this name, or nothing: written beside it, flushed to the disk, then renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
