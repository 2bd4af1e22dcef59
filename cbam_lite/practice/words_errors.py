"""Errors that many meet, whatever they write, in words. `trial.error_kind` tells them by the error's text."""

from cbam_lite.practice.answer import Mistake

ERRORS: dict[str, Mistake] = {
    "raises_max": Mistake(
        "max over one axis gives two tensors, the values and their places",
        (
            "What does the maximum give in the line that is named above: one tensor?",
            "Print type(F.max(1)). With one axis, max gives a pair; with several axes, it stops.",
            "amax gives the values alone, over one axis or several, and takes keepdim as mean does.",
        ),
        "",
    ),
    "raises_shape": Mistake(
        "the code stops with an error: a tensor enters a step with another shape than the step takes",
        (
            "Which shape enters the step that is named above, and which shape does it take?",
            "Print the shape before that line, with axes in words: images, channels, height, width.",
            "Is an axis lost (keepdim=True keeps it), one too many (flatten(1) removes those of size 1 at the end), "
            "or are two tensors joined along another axis than you meant?",
        ),
        "",
    ),
    "raises_integer": Mistake(
        "the code stops with an error: a size is a float where a whole number is needed",
        (
            "Which number in the line that is named above comes from a division?",
            "Print type(16 / 4) and type(16 // 4).",
            "A layer's sizes are whole numbers: divide with //, in place of /.",
        ),
        "",
    ),
    "not_a_function": Mistake(
        "a function is expected",
        (
            "Did you pass what the function gives, in place of the function?",
            "Print type(...) of what you pass.",
            "Write check(mine, ...), without brackets behind mine.",
        ),
        "",
    ),
}
