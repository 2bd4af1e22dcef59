"""The checks of arguments: what passes comes back, what does not is named with the fix."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from cbam_lite import checks


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (lambda v: checks.choose("gate", v, ("relu", "tanh")), "tanh", "tanh"),
        (lambda v: checks.positive_int("n", v), 1, 1),
        (lambda v: checks.number("x", v, 0, 2), 0, 0),
        (lambda v: checks.number("x", v, 0, 2), 2, 2),
        (lambda v: checks.number("x", v), np.float32(0.5), 0.5),
        (lambda v: checks.number("x", v), torch.tensor(3), 3),
        (lambda v: checks.whole("n", v), 0, 0),
        (lambda v: checks.whole("n", v, 1, 5), np.int64(5), 5),
        (lambda v: checks.sequence("xs", v), (1, 2.5), [1, 2.5]),
        (lambda v: checks.height_and_width("size", v), (1, 7), (1, 7)),
    ],
)
def test_what_fits_comes_back(check: Callable[[object], object], value: object, result: object) -> None:
    assert check(value) == result


@pytest.mark.parametrize(
    ("check", "error", "says"),
    [
        (lambda: checks.choose("gate", "tanhh", ("relu", "tanh")), ValueError, "^gate='tanhh' .* did you mean 'tanh'"),
        (lambda: checks.choose("gate", "x", ("relu", "tanh")), ValueError, "^gate='x' is not one of 'relu', 'tanh'$"),
        (lambda: checks.choose("gate", ["relu"], ("relu",)), ValueError, r"^gate=\['relu'\] is not one of"),  # type: ignore[type-var]
        (lambda: checks.positive_int("n", 0), ValueError, "^n=0 must be at least 1$"),
        (lambda: checks.positive_int("n", True), TypeError, "^n must be a whole number, got True of type bool$"),
        (lambda: checks.positive_int("n", 1.0), TypeError, "^n must be a whole number, got 1.0 of type float$"),  # type: ignore[arg-type]
        (lambda: checks.number("x", 2.1, 0, 2), ValueError, "^x=2.1 is outside its range: use 0 to 2$"),
        (lambda: checks.number("x", -0.1, 0, 2), ValueError, "^x=-0.1 is outside its range: use 0 to 2$"),
        (lambda: checks.number("x", math.nan, 0, 2), ValueError, "^x=nan is outside its range: use 0 to 2$"),
        (lambda: checks.number("x", math.inf), ValueError, "^x=inf must be a finite number$"),
        (lambda: checks.number("x", math.inf, 0), ValueError, "^x=inf is outside its range: use 0 to inf$"),
        (lambda: checks.number("x", False), TypeError, "^x must be a number, got False of type bool$"),
        (lambda: checks.number("x", torch.zeros(2)), TypeError, "^x must be a number, got tensor"),
        (lambda: checks.whole("n", -1), ValueError, "^n=-1 must be at least 0$"),
        (lambda: checks.whole("n", 6, 1, 5), ValueError, "^n=6 must be at most 5$"),
        (lambda: checks.whole("n", 2.0), TypeError, "^n must be a whole number, got 2.0 of type float$"),  # type: ignore[arg-type]
        (lambda: checks.sequence("xs", []), ValueError, "^xs is empty: give at least one number$"),
        (lambda: checks.sequence("xs", "12"), TypeError, "^xs must be a list of numbers, got '12' of type str$"),  # type: ignore[arg-type]
        (lambda: checks.sequence("xs", [0, 3], 0, 2), ValueError, r"^xs\[1\]=3 is outside its range: use 0 to 2$"),
        (lambda: checks.height_and_width("size", (7,)), TypeError, r"^size=\(7,\) must be \(height, width\)"),  # type: ignore[arg-type]
        (lambda: checks.height_and_width("size", (7, 0)), ValueError, r"^size\[1\]=0 must be at least 1$"),
        (lambda: checks.a_module("model", nn.Linear), TypeError, "^model must be a torch.nn.Module, got"),  # type: ignore[arg-type]
        (lambda: checks.function("score", 3, "use logit(3)"), TypeError, "^score must be a function, .*: use logit"),  # type: ignore[type-var]
    ],
)
def test_what_does_not_fit_is_named(check: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        check()


@pytest.mark.parametrize(
    ("value", "options", "error", "says"),
    [
        ([1.0], {}, TypeError, r"^maps must be a torch.Tensor \(N, H, W\), got list"),
        (torch.ones(2, 2), {}, ValueError, r"^maps has the shape \(2, 2\), .*: for a single one use maps\[None\]$"),
        (torch.ones(2, 2, 2, 2), {}, ValueError, "reshape it, or pick a part$"),
        (torch.ones(2, 0, 2), {}, ValueError, "it holds no values$"),
        (torch.ones(1, 2, 2), {"least": 2}, ValueError, "but at least 2 is needed along the first axis$"),
        (torch.ones(1, 2, 2, dtype=torch.long), {"floating": True}, TypeError, r"maps.float\(\), uint8 images"),
        (torch.ones(1, 2, 2, dtype=torch.cfloat), {}, TypeError, r"maps.abs\(\)$"),
    ],
)
def test_tensors(value: object, options: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        checks.tensor("maps", value, "N, H, W", **options)  # type: ignore[arg-type]
    right = torch.zeros(2, 3, 4)
    assert checks.tensor("maps", right, "N, H, W", floating=True, least=2) is right
    assert checks.tensor("maps", right.long(), "N, ...").dtype == torch.long
    assert len(checks.tensor("maps", right[:0], "N, H, W")) == 0  # none at all is enough, unless `least` says more


def test_what_attention_makes() -> None:
    assert checks.made(nn.Conv2d, 3, out_channels=5, kernel_size=1).weight.shape == (5, 3, 1, 1)
    with pytest.raises(TypeError, match=r"^attention is a module, built already: pass ReLU, not an instance of it$"):
        checks.made(nn.ReLU(), 3)
    with pytest.raises(TypeError, match=r"^attention='CBAM' of type str cannot make a module: pass a class such as"):
        checks.made("CBAM", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^attention\(3\) gave int, not a module: pass CBAM, for example$"):
        checks.made(lambda channels: channels, 3)  # type: ignore[arg-type, return-value]


def test_what_a_model_cannot_run_on_is_named() -> None:
    model, images = nn.Conv2d(3, 5, 1), torch.zeros(2, 3, 4, 4)
    assert checks.output_of(model, images).shape == (2, 5, 4, 4)
    with pytest.raises(
        ValueError, match=r"^the model cannot run on images of shape \(2, 1, 4, 4\), torch.float32 on cpu"
    ):
        checks.output_of(model, images[:, :1])

    class Exhausted(RuntimeError):
        """As torch.OutOfMemoryError is: not a mistake in the images."""

    def run_out(images: torch.Tensor) -> None:
        raise Exhausted("no memory left")

    with pytest.raises(Exhausted, match=r"^no memory left$"):
        checks.output_of(run_out, images)  # type: ignore[arg-type]
