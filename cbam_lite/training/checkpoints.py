"""Checkpoints that are whole or not there.

A checkpoint is two files: tensors (safetensors, no code inside) and facts (JSON), which names the tensors' file and its
hash. The JSON is put in place last, in one step of the file system. So power may fail at any moment, and a reader finds
the old checkpoint or the new one, never a mixture.
"""

import hashlib
import json
import os
import re
import secrets
import time
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

    Raises:
        TypeError: an argument is of another kind, a value of `tensors` is no tensor, or JSON cannot hold a fact.
        ValueError: the name would not be a file in the folder, or a fact has one of the two keys.

    Tensors are kept as they are, also NaN and infinity: a mask of -inf is no mistake. `fit` keeps finite weights only.

    Example:
        >>> model = defect_net("SE")
        >>> save_checkpoint("checkpoints", "last", model.state_dict(), {"epoch": 3}).name
        'last.json'
    """
    save = safetensors().save
    folder, facts = folder_of("folder", folder), checked_facts(facts)
    file_name("name", name)
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise TypeError(f"tensors must be {{name: torch.Tensor}}, got {tensors!r:.60}: model.state_dict(), for example")
    folder.mkdir(parents=True, exist_ok=True)
    # A clone each, because safetensors refuses tensors that share memory, as tied weights do.
    content = save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    file = folder / f"{name}-{digest[:12]}.safetensors"
    write_whole(file, content)
    facts = {"tensors": file.name, "sha256": digest, **facts}
    write_whole(folder / f"{name}.json", (json.dumps(facts, indent=1) + "\n").encode())  # from here on it counts
    take_away_old(folder, name, file)
    return folder / f"{name}.json"


def take_away_old(folder: Path, name: str, file: Path) -> None:
    """Remove the tensors of earlier checkpoints of that name but `file`, and what killed processes left behind."""
    tensors = rf"{re.escape(name)}-[0-9a-f]{{12}}\.safetensors"  # not those of "NAME-two"
    beside = re.compile(rf"\.({tensors}|{re.escape(name)}\.json)\.(?P<process>[0-9]+)(\.[0-9a-f]{{16}})?")
    for old in folder.iterdir():
        found = beside.fullmatch(old.name)
        if (re.fullmatch(tensors, old.name) and old != file) or (found and is_left_over(old, int(found["process"]))):
            old.unlink(missing_ok=True)


def folder_of(name: str, folder: str | Path) -> Path:
    """The path of a folder, which may not be there yet."""
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise TypeError(f"{name} must be the path of a folder, got {folder!r} of type {type(folder).__name__}")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ValueError(f"{name}={str(folder)!r} is a file: give a folder")
    return Path(folder)


def file_name(name: str, value: str) -> str:
    """The value if it is a file's name: text without a folder in it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, 'last' for example, got {value!r} of type {type(value).__name__}")
    if not value or Path(value).name != value or "\0" in value:
        raise ValueError(f"{name}={value!r} is no name for a file: use letters and digits, and the folder for folders")
    return value


def checked_facts(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Facts that JSON can hold under these keys."""
    if not isinstance(facts, Mapping) or not all(isinstance(key, str) for key in facts):
        raise TypeError(f"facts must be {{text: value}}, got {facts!r:.60}: {{'epoch': 3}}, for example")
    if taken := {"tensors", "sha256"} & facts.keys():
        raise ValueError(f"facts has the key {min(taken)!r}, which the checkpoint needs itself: use another word")
    try:
        json.dumps(dict(facts))
    except (TypeError, ValueError) as error:
        raise TypeError(f"facts holds what JSON cannot: give numbers, text, lists and dicts ({error})") from error
    return facts


def load_checkpoint(folder: str | Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the facts of a checkpoint.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: a file is damaged: the hash of the tensors is not the one in the JSON.
        TypeError: `folder` is no path, or `name` no text.

    Example:
        >>> path = save_checkpoint("checkpoints", "best", defect_net("SE").state_dict(), {"epoch": 3})
        >>> tensors, facts = load_checkpoint("checkpoints", "best")
        >>> facts["epoch"]
        3
    """
    load, path = safetensors().load, folder_of("folder", folder) / f"{file_name('name', name)}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give a folder and a name that save_checkpoint was called with")
    try:
        facts = json.loads(path.read_text())
        content, digest = (path.parent / facts["tensors"]).read_bytes(), facts["sha256"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} is damaged, or its tensors are gone: take the checkpoint away ({error})") from error
    if hashlib.sha256(content).hexdigest() != digest:
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
    """All of the content under this name, or nothing: written beside it, flushed to the disk, then renamed.

    The name beside it cannot be guessed and must be new, so a link that somebody put there, or another process that
    writes the same checkpoint, is never written to. tempfile does the same, but its files can be read by their owner
    only.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def is_left_over(file: Path, process: int) -> bool:
    """Whether the process that wrote a temporary file was killed: it runs no more, or nothing changed for a day."""
    if time.time() - file.lstat().st_mtime > 24 * 3600:
        return True
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return False
    try:
        os.kill(process, 0)  # asks only
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it runs, as somebody else's
        return False
    return False
