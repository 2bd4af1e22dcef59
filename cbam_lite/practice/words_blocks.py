"""The known mistakes, in words."""

from cbam_lite.practice.answer import Mistake

MISTAKES: dict[str, Mistake] = {}
