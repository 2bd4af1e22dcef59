"""Make a virtual environment from a list of pins, or bring it up to date; do nothing when it is as it should be.

    python tools/environment.py .venv requirements.txt --editable

uv installs it, because it is several times as fast as pip; where uv cannot be had or fails, pip does.
Runs before anything is installed, so it imports the standard library only.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def made_from(sources: list[Path]) -> str:
    """A hash of what an environment is made from: this Python and the files."""
    digest = hashlib.sha256(sys.version.encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def runs_this_python(python: Path) -> bool:
    """Whether the environment's Python starts and is of our version: neither half-made nor another's."""
    command = [str(python), "-c", "import sys; print(sys.version)"]
    if not python.exists():
        return False
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == sys.version


def pip(python: Path) -> list[str]:
    """The start of every command of pip."""
    return [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]


def uv(python: Path) -> list[str] | None:
    """The start of every command of uv, which is fetched into the environment; None where it cannot be had.

    A uv on the PATH is taken as it is. CBAM_LITE_PIP=1 asks for pip.
    """
    if os.environ.get("CBAM_LITE_PIP"):
        return None
    found = shutil.which("uv")
    if found is None:
        pinned = re.search(r"^uv==\S+", (ROOT / "requirements.txt").read_text(), re.M)
        wanted = pinned[0] if pinned else "uv"
        if subprocess.run([*pip(python), wanted], stderr=subprocess.DEVNULL, check=False).returncode:
            return None
        found = str(python.with_name("uv"))
    return [found, "pip", "install", "--quiet", "--python", str(python)]


def install(python: Path, requirements: Path, editable: bool) -> None:
    """The list, then this repository, by uv; by pip if that fails."""
    tools = [command for command in (uv(python), pip(python)) if command is not None]
    for number, command in enumerate(tools, start=1):
        try:
            subprocess.run([*command, "--requirement", str(requirements)], check=True)
            if editable:
                subprocess.run([*command, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
            return
        except subprocess.CalledProcessError:
            if number == len(tools):
                raise
            print("uv did not install it: trying pip, which takes longer.", flush=True)


def ensure(folder: Path, requirements: Path, editable: bool) -> None:
    """The stamp is written last, so an interrupted installation is done again."""
    stamp = folder / "made-from"
    wanted = made_from([requirements, ROOT / "pyproject.toml"] if editable else [requirements])
    python = folder / "bin" / "python"
    good = runs_this_python(python)
    if good and stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"Installing {requirements.name} into {folder}: minutes the first time, seconds after it.", flush=True)
    stamp.unlink(missing_ok=True)
    if not good:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install(python, requirements, editable)
    stamp.write_text(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--editable", action="store_true", help="install this repository, too")
    named = parser.parse_args()
    try:
        ensure(named.folder, named.requirements, named.editable)
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"{named.folder} is not ready, `{error.cmd[0]}` gave {error.returncode}: see above, then run make again."
        )


if __name__ == "__main__":
    main()
