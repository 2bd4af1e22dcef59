"""Files of weights: read without running what is in them, and taken out of what a training script put around them."""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cbam_lite.networks.weight_names import State

# Where training scripts keep the weights, beside the epoch and the optimiser. Where a file has averaged weights
# ("ema"), too, the plain ones are taken.
WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
# What DataParallel, torch.compile, Lightning and detectors put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")


def read_weights(path: str | Path) -> State:
    """The tensors of a file (.safetensors, or what torch.save wrote), on the CPU; no code in it is run.

    Raises:
        TypeError: the path is none.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds more than tensors and numbers.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"weights must be the path of a file or a state dict, got {type(path).__name__}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is {'a folder' if path.is_dir() else 'not there'}: give the path of a .safetensors or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(numpy_numbers()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, or is damaged. A pickle can run code when it is read, so it is refused; "
            f"ask its author for a .safetensors file. ({reason(error)})"
        ) from error
    except ImportError as error:
        raise ImportError("reading .safetensors needs the safetensors package: pip install safetensors") from error
    except Exception as error:  # each format has its own errors for a damaged file
        raise ValueError(f"{path} cannot be read, it may be cut short: fetch it again ({reason(error)})") from error
    return tensors_of(content, str(path))


def numpy_numbers() -> list[Any]:
    """What a single NumPy number in a file is made of: scripts keep their best accuracy as one, and it runs no code."""
    make = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(letter)) for letter in "?bhilqBHILQefd"}
    names = [(make, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # of NumPy 1 and 2
    return [np.dtype, *kinds, *names]


def reason(error: Exception) -> str:
    """What the file asks for, or the first line of the error; not PyTorch's advice to run the file."""
    text = str(error)
    if refused := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {refused[1]}"
    return (text.partition("WeightsUnpickler error:")[2] or text).strip().partition("\n")[0]


def tensors_of(content: Any, source: str) -> State:
    """The state dict in a checkpoint, which may keep other things beside it."""
    for _ in range(3):  # a bound, because a hostile file may hold itself
        for key in WRAPPERS:
            if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(
            f"{source} holds no state dict: expected names and tensors, got "
            f"{'nothing' if isinstance(content, Mapping) else type(content).__name__}"
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{source} holds no state dict: expected names and tensors, but {name!r} is {type(value).__name__}. "
                "Take the state dict out of what is around it, and turn arrays into tensors with torch.from_numpy"
            )
        if value.is_meta:
            raise ValueError(f"{source} holds no numbers: {name} is on the meta device, read the file to the CPU")
    return dict(content)


def without_prefixes(state: State, own: Iterable[str]) -> State:
    """Names without what wrappers put before them; a beginning that the model itself uses stays."""
    own = tuple(own)
    while prefix := next((p for p in PREFIXES if begins(state, p) and not begins(own, p)), ""):
        shorter = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        if len(shorter) < len(state):  # two names would become one
            return state
        state = shorter
    return state


def begins(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)
