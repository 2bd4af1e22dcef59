"""Rows A 8 and A 9 of the review: loading holds little more than its result, on made-up and on real data."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from layouts import hole, photo, save

from cbam_lite import pcb_folder
from cbam_lite.explaining.localize import centre_maps, pointing

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CBAM_LITE_DATA", ROOT.parent / "shared" / "data"))
LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux tells it")


def held(load: str, folder: Path, warm: Path) -> tuple[float, float]:
    """The memory that a load takes at its peak, and what its result holds, both in MiB; another load comes first."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import warnings
from pathlib import Path
from cbam_lite import masked_folder, pcb_folder
warnings.simplefilter("ignore")

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

def result():
    return {load}

folder = {str(warm)!r}
result()
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before, folder = memory("VmRSS"), {str(folder)!r}
data = result()
size = (data.images.untyped_storage().nbytes() + data.masks.untyped_storage().nbytes()) / 2**20
print(memory("VmHWM") - before, size)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, size = map(float, done.stdout.split())
    return peak, size


@LINUX
def test_a9_boards_do_not_outlive_their_squares(tmp_path: Path) -> None:
    """60 boards with 12 boxes each: kept alive they take 130 MiB, their squares 48."""
    boxes = "".join(f"{100 + 30 * i} {100 + 20 * i} {120 + 30 * i} {130 + 20 * i} 1\n" for i in range(12))
    for folder, boards in (("warm", 1), ("all", 60)):
        (tmp_path / folder / "group0/0001_not").mkdir(parents=True)
        for number in range(boards):
            save(tmp_path / folder / f"group0/0001/{number}_test.jpg", np.full((640, 640), number))
            (tmp_path / folder / f"group0/0001_not/{number}.txt").write_text(boxes)
    peak, size = held("pcb_folder(folder, 128)", tmp_path / "all", tmp_path / "warm")
    assert 40 < size < 60
    assert peak < 2 * size


@LINUX
def test_a9_masked_folder_holds_its_result_alone(tmp_path: Path) -> None:
    """Its groups are found in parts: all images as float32 would take three times the result."""
    for folder, images in (("warm", 2), ("all", 300)):
        for number in range(images):
            save(tmp_path / folder / f"crack/{number}.jpg", photo(32, 32))
            save(tmp_path / folder / f"crack/{number}.png", hole(32, 32))
    peak, size = held("masked_folder(folder, 256)", tmp_path / "all", tmp_path / "warm")
    assert 70 < size < 80
    assert peak < 1.5 * size


@LINUX
def test_a9_and_a8_on_all_real_boards() -> None:
    folder = DATA / "deeppcb" / "PCBData"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: name the folder of the real data with CBAM_LITE_DATA")
    few = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    peak, size = held("pcb_folder(folder)", folder, few)
    assert peak < 2 * size
    hits = {}
    for jitter in (0.0, 1.0):
        data = pcb_folder(few, jitter=jitter)
        defective = data.take(data.labels > 0)
        assert defective.masks is not None
        hits[jitter] = pointing(centre_maps(defective.masks), defective.masks).float().mean().item()
    assert hits[0.0] > 0.95
    assert hits[1.0] < 0.6
