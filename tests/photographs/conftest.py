"""Small copies of each layout on disk."""

from pathlib import Path

import numpy as np
import pytest
from layouts import save


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Three photographs of two classes in the layout of the magnetic tiles, not square, one pixel masked."""
    random = np.random.default_rng(0)
    for number, kind in enumerate(("MT_Crack", "MT_Crack", "MT_Free")):
        save(tmp_path / kind / "Imgs" / f"exp1_num_{number}.jpg", random.integers(0, 255, (60, 90)))
        mask = np.zeros((60, 90))
        if kind == "MT_Crack":
            mask[30, 45] = 255
            mask[31, 45] = 100  # a grey edge
        save(tmp_path / kind / "Imgs" / f"exp1_num_{number}.png", mask)
    return tmp_path


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """One board of 100x80 with two defects, one of them at the border, in DeepPCB's layout."""
    save(tmp_path / "group1/0001/00010_test.jpg", np.full((80, 100), 200))
    save(tmp_path / "group1/0001/00010_temp.jpg", np.full((80, 100), 50))
    notes = tmp_path / "group1/0001_not/00010.txt"
    notes.parent.mkdir()
    notes.write_text("50 40 60 46 3\n90 0 100 8 1\n\n")
    return tmp_path
