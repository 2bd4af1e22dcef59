"""`python -m cbam_lite.practice homework.py:MyCBAM --like CBAM --json`: the checker as a command, for other graders.

It ends with status 0 if the implementation passes, 1 if it does not, 2 if the command itself is wrong.
"""

import argparse
import contextlib
import dataclasses
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from cbam_lite.practice.answer import Answer
from cbam_lite.practice.judging import JUDGES, check, refused
from cbam_lite.practice.trial import Refused, TimeUp, Trial, untouched, within


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cbam_lite.practice", description="Check one implementation.")
    parser.add_argument("thing", metavar="FILE.py:NAME", help="a file, and the class, module or function in it")
    parser.add_argument("--like", choices=JUDGES, metavar="WHAT", help=f"one of {', '.join(JUDGES)}; else from NAME")
    parser.add_argument("--hint", type=int, default=1, choices=range(4), help="how many hints, 0 to 3 (default 1)")
    parser.add_argument("--seconds", type=float, default=20.0, help="after which it is stopped (default 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the text")
    given = parser.parse_args(words)
    file, _, given.name = given.thing.rpartition(":")
    given.file = Path(file)
    if not file or not given.file.is_file():
        parser.error(f"{given.thing!r} is not FILE.py:NAME with a file that exists, as homework.py:MyCBAM is")
    given.like = given.like or guessed(given.name)
    if given.like is None:
        parser.error(f"{given.name!r} does not say what it is like: add --like CBAM, for example")
    return given


def guessed(name: str) -> str | None:
    """What a name stands for: "MyCBAM" is like "CBAM", "spatial_attention" like "spatial attention"."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    plain = {like: like.replace(" ", "").replace("-", "").lower() for like in JUDGES}
    fits = [
        like for like, letters in plain.items() if letters in words or (len(letters) > 3 and letters in "".join(words))
    ]
    return max(fits, key=len, default=None)


def loaded(file: Path, name: str, trial: Trial) -> Any:
    """The thing of this name that the file defines; an error of the file, or no such name, refuses."""
    sys.path.insert(0, str(file.resolve().parent))
    found = trial.run(runpy.run_path, str(file))
    if name not in found:
        names = sorted(key for key in found if not key.startswith("_"))
        trial.refuse("unfilled", f"{file.name} defines no {name}; it has {', '.join(names) or 'nothing'}")
    return found[name]


def answer(file: Path, name: str, like: str, hint: int, seconds: float) -> Answer:
    trial = Trial()
    try:
        with untouched(), within(seconds):
            thing = loaded(file, name, trial)
    except TimeUp:
        return refused(like, trial, "hangs", f"the file was stopped after {seconds:g} s", hint)
    except Refused as found:
        return refused(like, trial, found.key, found.says, hint)
    return check(thing, like, hint=hint, seconds=seconds)


def command(words: list[str] | None = None) -> int:
    given = arguments(words)
    with contextlib.redirect_stdout(sys.stderr if given.json else sys.stdout):  # what the file prints is no JSON
        found = answer(given.file, given.name, given.like, given.hint, given.seconds)
    print(json.dumps(dataclasses.asdict(found)) if given.json else found)
    return 0 if found.passed else 1


if __name__ == "__main__":
    sys.exit(command())
