"""The version of the package, and the oldest Python and PyTorch that it runs on.

Everything here is written so that an older Python than that reads it, too. The build reads `__version__` as text.
"""

import importlib.util
import re
import sys

__version__ = "0.1.0"

PYTHON, TORCH = "3.10", "2.6"  # pyproject.toml says the same


def check_versions() -> None:
    """Say in one line what is too old, before the import of the rest fails on it in a way that nobody can read.

    Raises:
        ImportError: Python or PyTorch is too old, or there is no PyTorch; the message has the command that helps.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    command = f'pip install --upgrade "torch>={TORCH}"'
    if numbers(python) < numbers(PYTHON):
        raise ImportError(f"cbam_lite needs Python {PYTHON} or newer, this is {python}: uv venv --python 3.12")
    if importlib.util.find_spec("torch") is None:
        raise ImportError(f"cbam_lite needs PyTorch {TORCH} or newer, here is none: {command}")
    import torch

    if numbers(torch.__version__) < numbers(TORCH):
        raise ImportError(f"cbam_lite needs PyTorch {TORCH} or newer, this is {torch.__version__}: {command}")


def numbers(version: str) -> "tuple[int, ...]":
    """The first two numbers of a version, to compare by: (2, 10) for 2.10.0a0+cu130."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
