"""Does a class use the sizes that it is asked for? Another one is made, with another r or another kernel size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.practice.subject import OfWeights, Subject, from_maker, parameters_of, ready, takes_anything
from cbam_lite.practice.trial import Refused, called

Shapes = list[tuple[int, ...]]
WORDS = {"reduction": "r", "kernel": "kernel size"}


def uses(s: Subject, maker: Any, values: Mapping[str, float], name: str, others: Sequence[int]) -> None:
    """Refuse a maker that ignores a value of `name`, or breaks with each of the others; note one that takes none.

    Args:
        values: what the subject was made with, of which `name`, "reduction" or "kernel", is one.
        others: values of it that a right one takes, too; one of them is enough.

    Raises:
        Refused: reduction_ignored, kernel_size_ignored.
    """
    if isinstance(maker, nn.Module) or isinstance(s.module, OfWeights):
        return
    parameters, what = parameters_of(maker), WORDS[name]
    if not any(called(p, name) for p in parameters):
        follows = name == "kernel" and any(called(p, "channels") for p in parameters)  # k from C, as in ECA's paper
        if len(parameters) < 2 and not follows and not takes_anything(maker):
            s.notes.append(f"its {what} cannot be chosen: the class has no parameter for it")
        return
    if any("pad" in p.name for p in parameters):  # the padding is asked for beside the size of the kernel
        return
    says, usual = "", values[name]
    for other in others:
        try:
            shapes = shapes_of(s, maker, {**values, name: other})
        except Refused as found:
            says = says or f"with {what} = {usual} it passes, with {what} = {other} it does not: {found.says}"
            continue
        if not ignored(s, maker, values, name, other):
            return
        says = f"its weights have the shapes {shapes} for {what} = {usual} and for {what} = {other}"
        break
    s.trial.tries(f"made with {what} = {others[0]}: F passes, too, and the weights have other shapes")
    s.trial.refuse({"reduction": "reduction_ignored", "kernel": "kernel_size_ignored"}[name], says)


def ignored(s: Subject, maker: Any, values: Mapping[str, float], name: str, other: int) -> bool:
    """Whether the weights keep their shapes.

    For r also at 16 C, where a least number of units no longer matters. A kernel size may follow from C, as in timm.
    """
    larger = {**values, "channels": 16 * s.channels}
    takes_channels = any(called(p, "channels") for p in parameters_of(maker))
    if name == "kernel" and takes_channels and shapes_of(s, maker, larger) != shapes_of(s, maker, values):
        return False
    sizes = [values, larger] if name == "reduction" else [values]
    return all(shapes_of(s, maker, {**v, name: other}) == shapes_of(s, maker, v) for v in sizes)


def shapes_of(s: Subject, maker: Any, values: Mapping[str, float]) -> Shapes:
    """The shapes of the weights of another module from the same maker, which must run."""
    C, made = from_maker(s.trial, maker, values)
    module = ready(s.trial, made, C)
    F = s.maps() if C == s.channels else torch.ones(1, C, 9, 13, dtype=torch.float64)
    with torch.no_grad():
        out = s.trial.run(module, F)
        expected = F.shape if s.returns == "map" or C != s.channels else s(F).shape
    if not isinstance(out, Tensor) or (out.shape != expected and C == s.channels):
        raise Refused("wrong_shape", f"F is {tuple(F.shape)}, what comes back is {tuple(getattr(out, 'shape', ()))}")
    return [tuple(p.shape) for p in module.parameters()]
