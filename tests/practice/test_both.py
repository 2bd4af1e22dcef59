"""CBAM's judge: the two gates found in one product, their order, and every arrangement that is no product."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cbam_lite
from cbam_lite import CBAM, check
from cbam_lite.practice import apart, both, channel, windows
from cbam_lite.practice.arrangements import wrong_arrangements
from cbam_lite.practice.subject import Subject
from cbam_lite.practice.trial import Refused, Trial, shake
from cbam_lite.practice.weights import Formula, matching

C = 16


def subject_of(module: nn.Module, seed: int = 1) -> Subject:
    s = Subject(Trial(), module.double().eval(), C)
    shake(s.module, seed)
    return s


def parts(options: dict[str, Any], seed: int = 1) -> tuple[Subject, Tensor, Tensor, Tensor]:
    """A CBAM of ours with F, M_c(F) and M_s(F')."""
    s = subject_of(CBAM(C, 4, **options), seed)
    F = s.maps(0)
    module: Any = s.module
    with torch.no_grad():
        M_c = module.channel_attention.attention(F)
        M_s = module.spatial_attention.attention(M_c * F)
    return s, F, M_c, M_s


def test_patterns_are_those_of_the_two_gates() -> None:
    s, F, M_c, M_s = parts({})
    channels, places, off = both.patterns(s.R(F))
    assert off < 1e-12
    torch.testing.assert_close(channels, (M_c / M_c.norm(dim=1, keepdim=True))[:, :, 0, 0])
    torch.testing.assert_close(places, M_s.flatten(1) / M_s.flatten(1).norm(dim=1, keepdim=True))


def test_a_sum_of_gates_is_no_product() -> None:
    s, F, M_c, M_s = parts({})
    assert both.patterns((M_c + M_s).expand_as(F))[2] > 1e-3


def test_the_factor_of_a_channel_gate_is_the_spatial_gate() -> None:
    s, F, M_c, M_s = parts({})
    found = both.factor(M_c, s.R(F))
    assert found is not None
    torch.testing.assert_close(found, M_s)
    wrong = M_c.clone()
    wrong[0, 3] *= 1 + 1e-5
    assert both.factor(wrong, s.R(F)) is None


def test_a_closed_channel_does_not_hide_the_factor() -> None:
    s, F, M_c, M_s = parts({})
    M_c[:, 2] = 0
    R = (M_c * M_s).expand_as(F).clone()
    assert both.factor(M_c, R) is not None
    R[0, 2, 1, 1] = 0.1
    assert both.factor(M_c, R) is None


@pytest.mark.parametrize(
    ("order", "key"), [("channel-first", None), ("spatial-first", "spatial_first"), ("parallel", "spatial_reads_F")]
)
def test_the_order_shows_in_what_each_weight_changes(order: Any, key: str | None) -> None:
    s = subject_of(CBAM(C, 4, order=order))
    on_channels, on_places = both.influences(s)
    mlp = {name for name in s.parameters() if name.startswith("channel")}
    conv = set(s.parameters()) - mlp
    expected = {None: (mlp, mlp | conv), "spatial_first": (mlp | conv, conv), "spatial_reads_F": (mlp, conv)}
    assert (on_channels, on_places) == expected[key]
    if key is None:
        both.order(s)
        return
    with pytest.raises(Refused) as refused:
        both.order(s)
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"pool": "avg"}, "average_only"),
        ({"pool": "max"}, "max_only"),
        ({"spatial_pool": "avg"}, "average_only"),
        ({"spatial_pool": "max"}, "max_only"),
        ({"spatial_pool": "none"}, "no_spatial_gate"),
        ({"pool": "avg+max+lse"}, "extra_pools"),
        ({"kernel_size": 1}, "kernel_of_size_1"),
        ({"gate": "tanh"}, "tanh_gate"),
        ({"gate": "relu"}, "no_sigmoid"),
        ({"order": "parallel"}, "spatial_reads_F"),
        ({"order": "spatial-first"}, "spatial_first"),
        ({"hidden": 1.0}, "no_reduction"),
    ],
)
def test_our_own_options_that_are_not_the_paper_are_named(options: dict[str, Any], key: str) -> None:
    for bn in (True, False):
        answer = check(CBAM(C, 4, bn=bn, **options), like="CBAM")
        assert (answer.passed, answer.key) == (False, key), answer


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (CBAM.paper, "MLP with no biases; k = 7; [mean; max]; no bias"),
        (CBAM.official, "MLP with biases in both layers; k = 7; [max; mean]; a batch norm after the convolution"),
        (CBAM.timm, "MLP with no biases; k = 7; [mean; max]; a batch norm after the convolution"),
        (lambda c, r: CBAM.keras(c, r, conv_bias=True, kernel_size=3), "k = 3; [mean; max]; a bias"),
        (lambda c, r: CBAM(c, r, init="identity"), windows.TWICE),
        (lambda c, r: CBAM(c, r, gate="hardsigmoid"), windows.HARD),
    ],
)
def test_conventions_are_named(make: Callable[..., nn.Module], words: str) -> None:
    answer = check(make, like="CBAM")
    assert answer.passed, answer
    assert words in answer.convention


FORMULAS = list(wrong_arrangements(CBAM(C, 4).double()))


@pytest.mark.parametrize("n", range(0, len(FORMULAS), 3), ids=lambda n: f"{n}-{FORMULAS[n].key}")
def test_arrangements_are_told_apart(n: int) -> None:
    """Each arrangement, computed with weights of ours, is found under its own key."""
    g = torch.Generator().manual_seed(n)
    sizes: dict[Any, int] = {"C": C, "k": 7, 1: 1, 2: 2}
    shape = [sizes[letter] for letter in FORMULAS[n].needs["kernel"]]
    given = [torch.randn(s, generator=g, dtype=torch.float64) / 4 for s in ([4, C], [C, 4], shape)]
    s = subject_of(CBAM(C, 4))
    F = s.maps(0)
    weights = dict(zip(("W_0", "W_1", "kernel"), given, strict=True))
    R = FORMULAS[n].gates(F, weights).expand_as(F)
    found = matching(FORMULAS, given, [(F, R)], C=C)
    assert found is not None
    assert found[0].key == FORMULAS[n].key


def test_the_spatial_gate_is_found_without_the_channel_gate() -> None:
    s, F, M_c, M_s = parts({"kernel_size": 5, "bn": False, "conv_bias": True})
    found = apart.spatial_kernel(s)
    assert found is not None
    kernel, high = found
    assert high == pytest.approx(1)
    module: Any = s.module
    torch.testing.assert_close(windows.cut(kernel), module.spatial_attention.conv.weight[0].detach(), atol=1e-7, rtol=0)
    torch.testing.assert_close(kernel.bias, module.spatial_attention.conv.bias[0].detach(), atol=1e-7, rtol=0)
    alone = apart.ChannelGate(s.module, kernel)
    with torch.no_grad():
        torch.testing.assert_close(alone(F), M_c, atol=1e-8, rtol=0)
        torch.testing.assert_close(alone(20 * F)[:, :, 0, 0].amax(1) <= 1 + 1e-9, torch.ones(len(F), dtype=torch.bool))


def test_the_channel_gate_alone_is_judged_as_any_other() -> None:
    module: Any = CBAM.paper(24, 4)
    layers = module.channel_attention
    for layer in (layers.W_0, layers.W_1):
        nn.utils.parametrizations.weight_norm(layer)
    s = subject_of(module)
    s.channels = 24
    names, _ = both.influences(s)
    F = s.maps(0)
    found = both.from_outside(s, names, [(F, s.R(F))])
    assert found is not None
    formula, weights = found
    with torch.no_grad():
        torch.testing.assert_close(formula.gates(F, weights), layers.attention(F), atol=1e-5, rtol=0)


@pytest.mark.parametrize("init", ["default", "identity"])
def test_gates_of_up_to_two_are_taken_apart_too(init: Any) -> None:
    s, F, M_c, M_s = parts({"bn": False, "init": init})
    found = apart.spatial_kernel(s)
    assert found is not None
    high = {"default": 1, "identity": 4}[init]
    assert found[1] == pytest.approx(high)
    with torch.no_grad():
        torch.testing.assert_close(apart.ChannelGate(s.module, *found)(F), M_c / high**0.5, atol=1e-8, rtol=0)


def test_where_the_spatial_gate_is_not_understood_nothing_is_taken_apart() -> None:
    s = subject_of(CBAM(C, 4, gate="relu"))
    assert apart.channel_subject(s, {"w"}) is None


def test_the_proof_fails_for_another_kernel() -> None:
    s = subject_of(CBAM.paper(24, 4))
    s.channels = 24
    found = both.measured(s, say=False)
    both.agree(s, found)
    other = found._replace(kernel=windows.Kernel(found.kernel.weight, found.kernel.bias + 1e-4))
    with pytest.raises(Refused, match="differs from M_c M_s"):
        both.agree(s, other)


def test_a_right_one_takes_few_steps() -> None:
    answer = check(CBAM, like="CBAM")
    assert answer.passed
    assert len(answer.tried) == len(set(answer.tried)) == 12


def test_the_layouts_fit_the_channels_of_the_channel_judge() -> None:
    assert both.MATRICES == ((channel.UNITS, channel.C), (channel.C, channel.UNITS))
    assert cbam_lite.CBAM(channel.C, channel.R).channel_attention.W_0.weight.shape[0] == channel.UNITS
    assert isinstance(FORMULAS[0], Formula)


@pytest.mark.parametrize("channels", [4, 16, 32])
def test_one_hidden_unit_is_enough(channels: int) -> None:
    """It is silent for many maps: its weights must not be taken for unused ones."""
    for seed in range(3):
        torch.manual_seed(seed)
        assert check(CBAM(channels, channels), like="CBAM").passed


class Gates(nn.Module):
    """Two gates of ours, put together by a function of (channel gate, spatial gate, F)."""

    def __init__(self, together: Callable[[Any, Any, Tensor], Tensor]) -> None:
        super().__init__()
        whole: Any = CBAM(C, 4)
        self.channels, self.places = whole.channel_attention, whole.spatial_attention
        self.together = together

    def forward(self, F: Tensor) -> Tensor:
        return self.together(self.channels.attention, self.places.attention, F)


@pytest.mark.parametrize(
    ("together", "key", "says"),
    [
        (lambda M_c, M_s, F: M_s(M_c(F)), "gates_not_applied", "(3, 1, 1, 1)"),
        (lambda M_c, M_s, F: M_s(M_c(F)) * F, "gates_not_applied", "one number"),
        (lambda M_c, M_s, F: M_s(M_c(F) * F) * M_c(F), "returns_the_gate", "without F"),
        (lambda M_c, M_s, F: M_s(M_c(F) * F) * F, "scales_F", "in F' only"),
        (lambda M_c, M_s, F: M_s(F) * F, "no_channel_gate", "scaled alike"),
        (lambda M_c, M_s, F: M_s(M_c(F) * F) * M_c(F) * F * F, "multiplied_by_F_twice", "out / F^2 stays below 1"),
        (lambda M_c, M_s, F: M_s(M_c(F) * F) * M_c(F) * F, "", ""),
    ],
)
def test_gates_that_meet_F_in_the_wrong_place_are_named(together: Any, key: str, says: str) -> None:
    answer = check(Gates(together), like="CBAM")
    assert (answer.passed, answer.key) == (key == "", key), answer
    assert says in answer.says
