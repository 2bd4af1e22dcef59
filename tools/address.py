"""The repository's address: it stands in pyproject.toml, and every other mention is derived from it.

python tools/address.py show
python tools/address.py check
python tools/address.py set https://github.com/owner/name
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORM = re.compile(r"https://github\.com/([A-Za-z0-9_-]+)/([A-Za-z0-9._-]+)")


def address(root: Path = ROOT) -> str:
    """The address as it stands in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["urls"]["Repository"])


def owner_and_name(url: str) -> tuple[str, str]:
    match = FORM.fullmatch(url.removesuffix("/").removesuffix(".git"))
    if match is None:
        raise SystemExit(f"{url!r} is not a repository address: use the form https://github.com/owner/name")
    return match[1], match[2]


def text_files(root: Path) -> list[Path]:
    """The project's own text files: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    kinds = {".cff", ".ipynb", ".md", ".py", ".toml", ".yml"}
    return [root / name for name in listed if Path(name).suffix in kinds and (root / name).is_file()]


def rewrite(root: Path, url: str) -> list[Path]:
    """Write the new address, and the Pages address derived from it, wherever the old ones stand."""
    old_owner, old_name = owner_and_name(address(root))
    owner, name = owner_and_name(url)
    changes = {
        f"{old_owner}/{old_name}": f"{owner}/{name}",
        f"{old_owner}.github.io/{old_name}": f"{owner}.github.io/{name}",
    }
    changed = []
    for path in text_files(root):
        text = new = path.read_bytes().decode()
        for before, after in changes.items():
            new = new.replace(before, after)
        if new != text:
            path.write_bytes(new.encode())
            changed.append(path)
    return changed


def strays(root: Path) -> list[str]:
    """Mentions of a repository of our name, or of its Pages, under another owner."""
    owner, name = owner_and_name(address(root))
    mention = re.compile(rf"(?:github\.com/|/github/)([A-Za-z0-9_-]+)/{re.escape(name)}\b|([A-Za-z0-9_-]+)\.github\.io")
    return [
        f"{path.relative_to(root)}: {match[0]}"
        for path in text_files(root)
        for match in mention.finditer(path.read_text())
        if (match[1] or match[2]) != owner
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["show"]:
            print(address())
        case ["check"]:
            sys.exit("\n".join(strays(ROOT)) or 0)
        case ["set", url]:
            print("\n".join(f"changed {path.relative_to(ROOT)}" for path in rewrite(ROOT, url)) or "nothing to change")
        case _:
            sys.exit(__doc__)
