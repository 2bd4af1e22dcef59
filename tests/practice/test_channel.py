"""The judges of SE, CBAM's channel attention and ECA, and the MLP that is measured from outside."""

from typing import Any

import pytest
import torch
import torch.nn.functional as fn
from collection import known_channel, known_channel_more
from collection.entries import ENTRIES, Entry
from torch import Tensor, nn

from cbam_lite import ChannelAttention, EfficientChannelAttention, SqueezeExcitation, check
from cbam_lite.practice.judging import mistakes
from cbam_lite.practice.network import kinks_on, mlp, mlp_of
from cbam_lite.practice.subject import subject
from cbam_lite.practice.trial import Trial

KNOWN = [entry for entry in ENTRIES if entry.name.startswith(("known_channel.", "known_channel_more."))]


def test_the_collection_is_large_enough() -> None:
    assert known_channel.__doc__
    assert sum(entry.key == "" for entry in KNOWN) >= 15
    assert sum(entry.key != "" for entry in KNOWN) >= 30


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: f"{entry.like}-{entry.name}-{entry.key}")
def test_right_ones_pass_and_wrong_ones_are_named(entry: Entry) -> None:
    answer = check(entry.thing, entry.like)
    assert (answer.passed, answer.key) == (entry.key == "", entry.key), answer
    assert 1 <= len(answer.tried) <= 14
    assert answer.passed or answer.says


@pytest.mark.parametrize(
    ("like", "thing", "convention"),
    [
        ("SE", SqueezeExcitation, "biases in both layers"),
        ("SE", SqueezeExcitation(64, 16, bias=False), "no biases"),
        ("SE", SqueezeExcitation(32, 8, gate="hardsigmoid"), "the gate is the hard sigmoid"),
        ("SE", SqueezeExcitation(32, 8, init="identity"), "twice the sigmoid"),
        ("channel attention", ChannelAttention.paper, "no biases"),
        ("channel attention", ChannelAttention(16, 4), "biases in both layers"),
        ("channel attention", known_channel.GateAlone, "it gives the gate: multiply F by it where you use it"),
        ("ECA", EfficientChannelAttention, "k = 3"),
        ("ECA", EfficientChannelAttention(64, kernel_size=9), "k = 9"),
        ("ECA", EfficientChannelAttention(64, gate="hardsigmoid"), "hard sigmoid"),
        ("ECA", EfficientChannelAttention(64, init="identity"), "twice the sigmoid"),
        ("ECA", known_channel_more.EcaBias, "with a bias"),
        ("SE", known_channel_more.NotLessThan, "the hidden layer has 16 units; C / r is 6"),
        ("SE", known_channel_more.Vision, "the second number is that of the hidden units"),
        ("SE", known_channel_more.Normed, "with a batch norm in the MLP"),
    ],
)
def test_conventions_are_named(like: str, thing: Any, convention: str) -> None:
    answer = check(thing, like)
    assert answer.passed, answer
    assert convention in answer.convention


@pytest.mark.parametrize("thing", [ChannelAttention, EfficientChannelAttention])
def test_another_module_is_not_se(thing: Any) -> None:
    assert not check(thing, "SE").passed


@pytest.mark.parametrize("pool", ["avg+max+lse", "avg", "max", "lp"])
def test_other_descriptors_are_not_those_of_the_paper(pool: str) -> None:
    assert not check(ChannelAttention(16, 4, pool=pool), "channel attention").passed


def test_numbers_are_said() -> None:
    answer = check(known_channel_more.PackedLeaky, "SE")
    assert "kinks" in answer.says
    assert answer.hints == mistakes(answer.like)[answer.key].hints[:1]


class Net(nn.Module):
    """A gate with any function of the averages as its logits."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.w, self.logits = nn.Parameter(torch.ones(1)), logits

    def forward(self, F: Tensor) -> Tensor:
        return F * (self.w**0 * self.logits(F.mean((2, 3)))).sigmoid()[:, :, None, None]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 3


V, b, W, c = drawn(5, 16), drawn(5, seed=1), drawn(16, 5, seed=2), drawn(16, seed=3)


def measured(logits: Any) -> Any:
    return mlp_of(subject(Trial(), Net(logits), {}), torch.logit)


def test_an_mlp_is_measured_from_outside() -> None:
    found = measured(lambda a: (a @ V.T + b).relu() @ W.T + c)
    a = drawn(50, 16, seed=4)
    assert found["W_0"].shape == (5, 16)
    torch.testing.assert_close(mlp(a, found), (a @ V.T + b).relu() @ W.T + c, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "logits",
    [
        lambda a: a @ V.T @ W.T,
        lambda a: fn.gelu(a @ V.T + b) @ W.T,
        lambda a: fn.leaky_relu(a @ V.T + b, 0.1) @ W.T,
        lambda a: (a @ V.T + b).relu() @ W.T + 0.1 * a,
        lambda a: a * torch.nan,
    ],
)
def test_what_is_no_mlp_with_a_relu_is_not_measured(logits: Any) -> None:
    assert measured(logits) is None


def test_a_kink_is_found_where_it_is() -> None:
    def logits(a: Tensor) -> Tensor:
        return (a @ V[:1].T + b[:1]).relu() @ W[:, :1].T

    start, along = torch.zeros(16).double(), V[0] / V[0].norm()
    ((v, offset, u),) = kinks_on(logits, start, along) or []
    torch.testing.assert_close(v, V[0] / V[0].norm())
    torch.testing.assert_close(offset, b[0] / V[0].norm())
    torch.testing.assert_close(u, W[:, 0] * V[0].norm())


class Odd(known_channel_more.Packed):
    """SE whose weights no shape tells apart, with one step of one's own."""

    def __init__(self, channels: int, reduction: int = 16, step: Any = None) -> None:
        super().__init__(channels, reduction)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return x * self.step(self.mlp, x)


def over(values: Tensor) -> Tensor:
    return values[:, :, None, None]


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (lambda f, x: over(f((x * torch.linspace(0, 1, x.shape[2])[:, None]).mean((2, 3))).sigmoid()), "reads_places"),
        (lambda f, x: over(f(x.pow(3).mean((2, 3))).sigmoid()), "other_pool"),
        (
            lambda f, x: over(f(x.mean((2, 3))).square().mean(1, keepdim=True).sigmoid().expand(-1, 24)),
            "no_channel_gate",
        ),
        (lambda f, x: over(f(x.mean((2, 3)).sin()).sigmoid()), "other_activation"),
        (lambda f, x: over(f(x.mean((2, 3))).sigmoid()) * (x > x.mean((2, 3), keepdim=True)), "gates_differ_by_place"),
        (lambda f, x: over(f(x.sum((2, 3)).div(x.shape[2] + x.shape[3])).sigmoid()), "sum_for_mean"),
    ],
)
def test_what_no_formula_fits_is_measured(step: Any, key: str) -> None:
    answer = check(lambda channels, reduction: Odd(24, 4, step), "SE")
    assert not answer.passed
    assert answer.key == key, answer
    assert answer.says


def test_an_offset_of_the_logits_is_not_in_the_equation() -> None:
    class Offset(known_channel.SELayer):
        def forward(self, x: Tensor) -> Tensor:
            z = torch.logit(self.fc(x.mean((2, 3))))
            return x * over((z + 0.3).sigmoid())

    answer = check(Offset, "SE")
    assert (answer.passed, answer.key) == (False, "")
    assert "not with your weights" in answer.says


def test_a_third_descriptor_is_found_where_no_formula_fits() -> None:
    def step(f: Any, x: Tensor) -> Tensor:
        return over((f(x.mean((2, 3))) + f(x.amax((2, 3))) + f(x.pow(3).mean((2, 3)))).sigmoid())

    answer = check(lambda channels, reduction: Odd(24, 4, step), "channel attention")
    assert answer.key == "other_pool", answer
