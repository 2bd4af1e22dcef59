"""From a folder to a report by commands alone, on the magnetic tiles: what they say, how long they take, and a table.

    python experiments/tiles_by_command.py --data FOLDER --out FOLDER

The data set is that of Huang, Qiu and Yuan, "Surface defect saliency of magnetic tile", 2018; it is not part of this
project. The numbers go into ``cbam_lite/results/tiles_by_command.json``; photographs stay in the folder of the run.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from cbam_lite.photographs.command_line import main as cbam_lite
from cbam_lite.results import FOLDER

LONG = 20  # lists that are longer are only counted
NEW = 24  # photographs to predict, as if they were new


def run(*words: str) -> dict[str, Any]:
    """One command as a user types it: its words, exit code, seconds, and what it says as JSON."""
    said, start = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(said):
        code = cbam_lite([*words, "--json"])
    seconds = time.perf_counter() - start
    if code:
        raise SystemExit(f"cbam-lite {' '.join(words)} ended with {code}")
    return {"seconds": round(seconds, 1), "says": json.loads(said.getvalue())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the folder of MT_Crack, MT_Free ...")
    parser.add_argument("--out", required=True, type=Path, help="a folder for the run, its report and its pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    data, tiles, new = str(options.data), str(options.out / "tiles"), options.out / "new"
    found = {"describe": run("describe", data, "--layout", "masked", "--picture", str(options.out / "samples.png"))}
    found["train"] = run("train", data, "--layout", "masked", "--out", tiles, "--quiet")
    found["report"] = run("report", tiles, "--good", "Free")
    new.mkdir(exist_ok=True)
    test = json.loads((Path(tiles) / "run.json").read_text())["parts"]["test"]
    for path in test[:: max(1, len(test) // NEW)][:NEW]:
        shutil.copy(options.data / path, new / Path(path).name)
    found["predict"] = run("predict", tiles, str(new), "--out", str(options.out / "answers"), "--quiet")
    found["export"] = run("export", tiles, str(options.out / "tiles.onnx"))
    facts = {
        "command": "python experiments/tiles_by_command.py --data FOLDER --out FOLDER",
        "date": date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    for step in found.values():
        forget_the_machine(step["says"], str(options.out), data)
    (FOLDER / "tiles_by_command.json").write_text(json.dumps(facts | {"commands": found}, indent=1) + "\n")


def forget_the_machine(says: Any, *folders: str) -> None:
    """Take the folders of this machine out of what was said, and long lists of single photographs."""
    if isinstance(says, dict):
        says.pop("mistakes", None)
        for key, value in [*says.items()]:
            if isinstance(value, list) and len(value) > LONG:
                says[key] = f"{len(value)} of them"
            if isinstance(value, str):
                for folder in folders:
                    value = value.replace(f"{folder}/", "").replace(folder, "FOLDER")
                says[key] = value
            forget_the_machine(value, *folders)
    elif isinstance(says, list):
        for value in says:
            forget_the_machine(value, *folders)


if __name__ == "__main__":
    main()
