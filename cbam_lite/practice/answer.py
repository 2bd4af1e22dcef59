"""What the checker says: passed or not, what was tried, the mistake by its name, and hints one at a time."""

from dataclasses import dataclass

BOOK = "https://YOUR_NAME.github.io/cbam-lite/"  # where the sections that answers link to are published


@dataclass(frozen=True)
class Mistake:
    """A mistake that public code or students have really made.

    Attributes:
        name: what is wrong, as a sentence without a full stop: "the two branches have separate MLPs".
        hints: three, from a nudge to nearly the answer.
        section: the page and its heading, "book/cbam.html#which-channels", of the built book.
    """

    name: str
    hints: tuple[str, str, str]
    section: str


@dataclass(frozen=True)
class Answer:
    """One answer of `check`. Printed, it is a short report; `passed` and ``bool(answer)`` say the same.

    Attributes:
        like: what the thing was compared with, "CBAM" for example.
        passed: whether it computes that.
        tried: what was tried, in order, with shapes and numbers. If it did not pass, the last one failed.
        says: what was found, in a sentence or two with numbers.
        key: the short name of the mistake, "separate_mlps", or "" if it passed or the mistake is not a known one.
        mistake: the mistake in words, "" likewise.
        convention: which of the right variants this is, "as timm: no bias, [average; maximum]", or "".
        hints: the hints that were asked for: one at first, up to three.
        link: the section of the book to read again.
    """

    like: str
    passed: bool
    tried: tuple[str, ...]
    says: str
    key: str = ""
    mistake: str = ""
    convention: str = ""
    hints: tuple[str, ...] = ()
    link: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [f"{self.like}: {'passed' if self.passed else 'not yet'}"]
        lines += [
            f"  {'ok ' if self.passed or n < len(self.tried) else 'NO '} {t}" for n, t in enumerate(self.tried, 1)
        ]
        lines += [f"  {self.says}"] if self.says else []
        lines += [f"  The mistake: {self.mistake}."] if self.mistake else []
        lines += [f"  Convention: {self.convention}"] if self.convention else []
        lines += [f"  Hint {n}: {hint}" for n, hint in enumerate(self.hints, 1)]
        lines += [f"  Read again: {self.link}"] if self.link and not self.passed else []
        return "\n".join(lines)

    __repr__ = __str__
