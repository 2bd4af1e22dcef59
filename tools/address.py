"""The repository's address, and the branch or tag that readers get: every other mention is derived from pyproject.toml.

python tools/address.py show
python tools/address.py check
python tools/address.py set https://github.com/owner/name [branch or tag]
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORM = re.compile(r"https://github\.com/([A-Za-z0-9_-]+)/([A-Za-z0-9._-]+)")


def address(root: Path = ROOT) -> str:
    """The address as it stands in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def ref(root: Path = ROOT) -> str:
    """The branch or tag that the notebooks install and the links lead to."""
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cbam-lite"]["ref"])


def owner_and_name(url: str) -> tuple[str, str]:
    match = FORM.fullmatch(url.removesuffix("/").removesuffix(".git"))
    if match is None:
        raise SystemExit(f"{url!r} is not a repository address: make address URL=https://github.com/owner/name")
    return match[1], match[2]


def pages(owner: str, name: str) -> str:
    """Where GitHub Pages publishes the book of a repository."""
    return f"{owner}.github.io/{name}"


def text_files(root: Path) -> Iterator[tuple[Path, str]]:
    """The project's own text files, tracked or new and not ignored, and what they hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        path = root / name
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b"\0"
        if b"\0" not in content:  # which stands in pictures and fonts
            yield path, content.decode()


def rewrite(root: Path, url: str, new_ref: str = "") -> list[Path]:
    """Write the new address, and what is derived from it, wherever the old ones stand; and the new branch or tag."""
    old, new, old_ref = owner_and_name(address(root)), owner_and_name(url), ref(root)
    changes = {"/".join(old): "/".join(new), pages(*old): pages(*new)}
    mention = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, changes))})(?![\w-])")
    at_ref = re.compile(
        rf"({re.escape('/'.join(new))}(?:@|/blob/)|^ref = \"|^  branch: ){re.escape(old_ref)}(?![\w.-])", re.M
    )
    changed = []
    for path, text in text_files(root):
        replaced = mention.sub(lambda match: changes[match[0]], text)
        replaced = at_ref.sub(rf"\g<1>{new_ref or old_ref}", replaced)
        if replaced != text:
            path.write_bytes(replaced.encode())
            changed.append(path)
    return changed


def strays(root: Path) -> list[str]:
    """Mentions of a repository of our name, or of its Pages, under another owner."""
    owner, name = owner_and_name(address(root))
    mention = re.compile(rf"(?:github\.com/|/github/)([\w-]+)/{re.escape(name)}(?![\w-])|([\w-]+)\.github\.io")
    return [
        f"{path.relative_to(root)}: {match[0]}"
        for path, text in text_files(root)
        for match in mention.finditer(text)
        if (match[1] or match[2]) != owner
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["show"]:
            print(address())
        case ["check"]:
            sys.exit("\n".join(strays(ROOT)) or 0)
        case ["set", url, *more] if len(more) < 2:
            changed = rewrite(ROOT, url or address(), *more)
            print("\n".join(f"changed {path.relative_to(ROOT)}" for path in changed) or "nothing to change")
        case _:
            sys.exit(__doc__)
