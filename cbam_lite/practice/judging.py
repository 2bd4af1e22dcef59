"""`check(thing, like="CBAM")`: ask the right judge, in a bounded time, and leave everything as it was."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from cbam_lite.checks import choose, number, whole
from cbam_lite.practice import (
    blocks,
    both,
    channel,
    hand,
    maps,
    measures,
    spatial,
    words_blocks,
    words_gates,
    words_hand,
    words_maps,
    words_measures,
)
from cbam_lite.practice.answer import BOOK, Answer, Mistake
from cbam_lite.practice.trial import Refused, TimeUp, Trial, named, untouched, where, within
from cbam_lite.practice.words_errors import ERRORS
from cbam_lite.practice.words_start import START

Judge = Callable[[Trial, Any], str]

# Each judge takes (trial, thing); it gives the convention that a right thing follows, or "", and refuses a wrong one.
# Beside it stand the words for the mistakes that it knows.
JUDGES: dict[str, tuple[Judge, Mapping[str, Mistake]]] = {
    "convolution": (hand.convolution, words_hand.MISTAKES),
    "SE": (channel.squeeze_excitation, words_gates.MISTAKES),
    "ECA": (channel.eca, words_gates.MISTAKES),
    "channel attention": (channel.channel_attention, words_gates.MISTAKES),
    "spatial attention": (spatial.spatial_attention, words_gates.MISTAKES),
    "CBAM": (both.cbam, words_gates.MISTAKES),
    "residual block": (blocks.residual_block, words_blocks.MISTAKES),
    "identity insertion": (blocks.identity_insertion, words_blocks.MISTAKES),
    "Grad-CAM map": (maps.grad_cam_map, words_maps.MISTAKES),
    "Grad-CAM": (maps.grad_cam, words_maps.MISTAKES),
    "pointing": (measures.pointing, words_measures.MISTAKES),
    "energy": (measures.energy, words_measures.MISTAKES),
    "mask IoU": (measures.mask_iou, words_measures.MISTAKES),
    "box IoU": (measures.box_iou, words_measures.MISTAKES),
    "average precision": (measures.average_precision, words_measures.MISTAKES),
}

# What is said where the check itself stops: it has met something that it does not expect, right or wrong.
NOT_MET = "the check could not go on with this, which is its fault, not yours; please report it:"

GENERAL = {
    **ERRORS,
    "raises": Mistake(
        "the code stops with an error",
        (
            "Run your code alone on an input of the shape that is named above.",
            "Print the shape before the line that is named above; compare it with what the line needs.",
            "Maps here are not square: is a height taken for a width, or a fixed size written down?",
        ),
        "",
    ),
    "hangs": Mistake(
        "the code does not come to an end",
        (
            "Is there a loop whose end is never reached?",
            "Print the loop's counter: does it change?",
            "Loop over a range, `for i in range(n)`, in place of `while`.",
        ),
        "",
    ),
}

# Our own classes may stand for the words.
CLASSES = {
    "SqueezeExcitation": "SE",
    "EfficientChannelAttention": "ECA",
    "ChannelAttention": "channel attention",
    "SpatialAttention": "spatial attention",
}


def check(thing: Any, like: str | type[nn.Module], *, hint: int = 1, seconds: float = 20.0) -> Answer:
    """Does `thing` compute what the paper says? If not: which known mistake is it, and what to look at next?

    It is judged by what it computes on inputs of ours, never by its source: any names, any layers, any style. A module
    runs as a copy in float64 and evaluation mode, with weights far from zero. The thing itself, the random states and
    the global settings stay as they are.

    Args:
        thing: a class, a module, or a function:

            * "SE", "channel attention", "CBAM": made with (channels, reduction), by name or in this order; maps
              (B, C, H, W) to the scaled map of the same shape. Or a function of the map and its weights.
            * "ECA": made with (channels) or (); "spatial attention": made with (kernel size) or ().
            * "residual block": made with (in_channels, out_channels, stride, attention), where attention(channels)
              makes a module.
            * "identity insertion": a function (model, attention) that puts attention(channels) into each block.
            * "convolution": a function (image (C, H, W), kernels (O, C, k, k)); bias, stride and padding are tried
              where it takes them.
            * "Grad-CAM map": a function (A, G) of activations and gradients, (C, H, W) or (B, C, H, W) each.
            * "Grad-CAM": a function (model, images, layer, classes).
            * "pointing", "energy": a function (map, mask), (H, W) each; "mask IoU": (mask, mask);
              "box IoU": (box, box), each x1, y1, x2, y2.
            * "average precision": a function (confidences, correct, truths).
        like: what it should compute, one of the words above in any case; or one of our classes, ``CBAM`` for example.
        hint: how many hints to give, 0 to 3. One, so that the reader can look alone first.
        seconds: after which code that does not end is stopped. This needs Unix and the main thread; elsewhere nothing
            is stopped. Twenty, because a slow machine needs a few for a right one.

    Returns:
        An `Answer`; printed, it is a short report. ``assert check(Mine, like="CBAM")`` works in a test.

    Raises:
        ValueError: `like` is not one of the words, or `hint` is not from 0 to 3.

    Example:
        >>> check(SqueezeExcitation, like="SE").passed
        True
        >>> check(torch.nn.Identity(), like="SE").passed
        False
    """
    if not isinstance(like, str):
        name = (like if isinstance(like, type) else type(like)).__name__
        like = CLASSES.get(name, name)
    word = choose("like", {known.lower(): known for known in JUDGES}.get(like.lower(), like), JUDGES)
    hint = whole("hint", hint, 0, 3)
    seconds = number("seconds", seconds, 0.01, 86400.0)
    trial = Trial()
    try:
        with untouched(), within(seconds):
            if thing is None or thing is ...:
                trial.refuse("unfilled", "there is nothing to check yet: replace `...` by your code")
            convention = JUDGES[word][0](trial, thing)
    except TimeUp:
        return refused(word, trial, "hangs", f"it was stopped after {seconds:g} s", hint)
    except Refused as found:
        return refused(word, trial, found.key, found.says, hint)
    except Exception as error:
        return refused(word, trial, "", f"{NOT_MET} {named(error)}{where(error)}", hint)
    return Answer(word, True, tuple(trial.tried), "", convention=convention)


def mistakes(like: str) -> dict[str, Mistake]:
    """All that is known to go wrong in implementations of this kind, by the keys of `Answer`."""
    return {**GENERAL, **JUDGES[like][1]}


def refused(like: str, trial: Trial, key: str, says: str, hint: int) -> Answer:
    known = mistakes(like).get(key)
    if key == "unfilled":  # what is missing is said; the hints are how to begin
        return Answer(like, False, tuple(trial.tried), says, key, hints=START[like][:hint])
    if known is None:
        return Answer(like, False, tuple(trial.tried), says)
    link = BOOK + known.section if known.section else ""
    return Answer(like, False, tuple(trial.tried), says, key, known.name, hints=known.hints[:hint], link=link)
