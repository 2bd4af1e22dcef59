"""From what is handed in to a module, and what every gate module must do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from cbam_lite.practice.gates import closing, contract, limits
from cbam_lite.practice.subject import Subject, close, error_key, maps, subject
from cbam_lite.practice.trial import Refused, Trial

VALUES = {"channels": 24, "reduction": 4}
LAYOUTS = (((6, 24), (24, 6)), ((6, 24), (6,), (24, 6), (24,)))


class Gated(nn.Module):
    """A gate module whose steps can be exchanged."""

    def __init__(self, channels: int = 24, reduction: int = 4, step: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)
        self.step = step

    def gate(self, F: Tensor) -> Tensor:
        return self.second(self.first(F.mean((2, 3))).relu()).sigmoid()[:, :, None, None]

    def forward(self, F: Tensor) -> Any:
        return F * self.gate(F) if self.step is None else self.step(self, F)


def on_stand(thing: Any, **options: Any) -> Subject:
    return subject(Trial(), thing, VALUES, LAYOUTS, **options)


def refusal(step: Callable[..., Any]) -> Refused:
    with pytest.raises(Refused) as found:
        contract(on_stand(Gated(step=step)))
    return found.value


# ---- what is handed in -----------------------------------------------------------------------------------------------


def function(F: Tensor, V: Tensor, W: Tensor) -> Tensor:
    return F * torch.sigmoid(torch.relu(F.mean((2, 3)) @ V) @ W)[:, :, None, None]


def biased(F: Tensor, V: Tensor, b: Tensor, W: Tensor, c: Tensor, slope: float = 0.0) -> Tensor:
    return F * (fn.conv2d(fn.conv2d(F.mean((2, 3), keepdim=True), V, b).relu(), W, c)).sigmoid()


@pytest.mark.parametrize(
    ("thing", "channels", "weights"),
    [
        (Gated, 24, 4),
        (Gated(), 24, 4),
        (Gated(40, 5), 40, 4),
        (lambda channels, reduction: Gated(channels, reduction), 24, 4),
        (lambda c: Gated(c), 96, 4),  # where it takes no r: room for its default
        (lambda *sizes: Gated(*sizes), 24, 4),
        (function, 24, 2),
        (biased, 24, 4),
        (lambda F, *weights: function(F, *weights), 24, 2),
    ],
)
def test_everything_becomes_a_module(thing: Any, channels: int, weights: int) -> None:
    s = on_stand(thing)
    assert s.channels == channels
    assert len(s.parameters()) == weights
    assert s(s.maps()).dtype == torch.float64
    contract(s)
    limits(s)
    assert s.notes == []


def test_lazy_layers_get_their_shapes() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LazyLinear(4), nn.LazyLinear(24)

        def forward(self, F: Tensor) -> Tensor:
            return F * self.second(self.first(F.mean((2, 3))).relu()).sigmoid()[:, :, None, None]

    contract(on_stand(Lazy))


def test_what_is_handed_in_stays_as_it_is() -> None:
    module = Gated().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    contract(on_stand(module))
    assert module.training
    assert all(
        torch.equal(value, before[key]) and value.dtype == torch.float32 for key, value in module.state_dict().items()
    )


def test_the_gate_alone_is_right_where_it_may_be() -> None:
    alone = Gated(step=Gated.gate)
    s = on_stand(alone, gate_alone=True)
    contract(s)
    assert s.returns == "gate"
    assert s.R(s.maps()).shape == (3, 24, 9, 13)
    assert s.trial.tried[0].endswith("(3, 24, 1, 1) comes back, taken as the gate: out is F times it")
    with pytest.raises(Refused, match=r"\(3, 24, 1, 1\): the gate") as found:
        on_stand(alone)
    assert found.value.key == "returns_the_gate"


def unwritten(channels: int, reduction: int) -> nn.Module:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("thing", "key", "says"),
    [
        (3, "", "not an object of type int"),
        (unwritten, "unfilled", "NotImplementedError"),
        (lambda channels, reduction: channels / 0, "raises", "ZeroDivisionError"),
        (lambda channels, reduction: lambda F: F, "weights_not_registered", "is a function"),
        (str, "not_a_module", "makes a str"),
        (lambda F, V, W: F @ torch.ones(99, 3), "raises_shape", "RuntimeError"),
        (Gated(step=lambda m, F: (F, F)), "no_return", "is a tuple of 2"),
        (Gated(step=lambda m, F: None), "no_return", "is a return missing?"),
        (Gated(step=lambda m, F: m.gate(F[:, :, :, :9]).expand(3, 24, 9, 9) * F), "square_only", "a map of 9x13"),
        (
            Gated(step=lambda m, F: F * fn.avg_pool2d(F, F.shape[2]).view(3, 24)[..., None, None]),
            "square_only",
            "13x9 stop",
        ),
        (Gated(step=lambda m, F: F * m.gate(F)[:, :, 0, 0]), "wrong_shape", "size of tensor"),
        (Gated(step=lambda m, F: F * fn.avg_pool2d(F, 7, 1)[:, :1]), "no_padding", "size of tensor"),
        (Gated(step=lambda m, F: F * fn.avg_pool2d(F, 4, 1, 2)[:, :1]), "even_kernel_shift", "size of tensor"),
        (Gated(step=lambda m, F: fn.avg_pool2d(F, 4, 1, 2)), "even_kernel_shift", "(3, 16, 10, 14)"),
        (Gated(step=lambda m, F: fn.avg_pool2d(F, 7, 1)), "no_padding", "(3, 16, 3, 7)"),
        (Gated(step=lambda m, F: F.flatten(1)), "wrong_shape", "(3, 1872)"),
        (Gated(step=lambda m, F: F * m.gate(F.view(-1, 24, 7, 7))), "fixed_size", "7x7 pass"),
        (Gated(step=lambda m, F: F * m.gate(fn.avg_pool2d(F, 8)[:, :, :1, :1])), "fixed_size", "5x7 stop"),
        (Gated(step=lambda m, F: F * m.gate(F.transpose(1, 3))), "wrong_axes", "the width is C = 24"),
        (Gated(step=lambda m, F: F * m.gate(F.float())), "dtype_changed", "to float32"),
    ],
)
def test_what_does_not_run_says_why(thing: Any, key: str, says: str) -> None:
    with pytest.raises(Refused) as found:
        on_stand(thing)
    assert (found.value.key, says in found.value.says) == (key, True), found.value.says


@pytest.mark.parametrize(
    ("a", "b", "key", "counts"),
    [
        (24, 22, "no_padding", "22 gates for 24 channels"),
        (25, 24, "even_kernel_shift", "25 gates for 24 channels"),
        (24, 13, "wrong_shape", ""),
        (24, 9, "wrong_shape", ""),
    ],
)
def test_gates_along_the_channels_are_counted(a: int, b: int, key: str, counts: str) -> None:
    says = f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension 1"
    assert error_key(says, 24)[0] == key
    assert counts in error_key(says, 24)[1]


@pytest.mark.parametrize(("left", "key"), [("1, 1", "pooled_over_places"), ("9, 1", "")])
def test_pools_over_the_places_are_named(left: str, key: str) -> None:
    assert error_key(f"expected input[3, 48, {left}] to have 2 channels, but got 48 channels", 24)[0] == key


@pytest.mark.parametrize(
    ("a", "b", "C", "key"),
    [
        (13, 7, 24, "no_padding"),
        (9, 13, 24, "square_only"),
        (14, 13, 24, "even_kernel_shift"),
        (13, 24, 24, "wrong_shape"),
        (5, 6, 24, ""),
    ],
)
def test_torchs_message_names_the_mistake(a: int, b: int, C: int, key: str) -> None:
    says = f"The size of tensor a ({a}) must match the size of tensor b ({b}) at dimension 3"
    assert error_key(says, C) == (key, "")


# ---- the contract ----------------------------------------------------------------------------------------------------


def without_gradient(m: Gated, F: Tensor) -> Tensor:
    with torch.no_grad():
        gate = m.gate(F)
    return F * gate


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (lambda m, F: F.mul_(m.gate(F)), "input_changed"),
        (lambda m, F: F * fn.dropout(m.gate(F), 0.1), "not_deterministic"),
        (lambda m, F: F + m.gate(F), "not_scaled"),
        (lambda m, F: F * 0.5, "gate_constant"),
        (lambda m, F: F * F * m.gate(F), "multiplied_by_F_twice"),
        (lambda m, F: F * F.sigmoid(), "weights_not_registered"),
        (lambda m, F: F * m.gate(F) if len(F) > 1 else F[0], "batch_of_one"),
        (lambda m, F: F * m.gate(F).softmax(0), "softmax_over_batch"),
        (lambda m, F: F * m.gate(F).mean(0, keepdim=True), "batch_mixed"),
        (lambda m, F: F * m.gate(F).view(24, len(F)).T[:, :, None, None], "batch_mixed"),
        (lambda m, F: F * m.gate(F.mean((2, 3)).view(24, -1).T[:, :, None, None]), "view_mixup"),
        (lambda m, F: F * m.gate(F.as_strided(F.shape, torch.empty(F.shape).stride())), "view_mixup"),
        (lambda m, F: F * m.gate(F).detach(), "detached"),
        (lambda m, F: F.detach() * m.gate(F), "detached"),
        (lambda m, F: F * m.gate(F.detach()), "detached"),
        (without_gradient, "detached"),
    ],
)
def test_a_broken_contract_is_named(step: Callable[..., Any], key: str) -> None:
    assert refusal(step).key == key


def test_frozen_weights_are_found() -> None:
    module = Gated()
    module.second.bias.requires_grad_(False)
    with pytest.raises(Refused, match=r"second\.bias \(24,\) has requires_grad=False") as found:
        contract(on_stand(module))
    assert found.value.key == "frozen"


def test_buffers_are_no_parameters() -> None:
    class Buffers(nn.Module):
        kernel: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.ones(24))

        def forward(self, F: Tensor) -> Tensor:
            return F * (F.mean((2, 3)) * self.kernel).sigmoid()[:, :, None, None]

    with pytest.raises(Refused, match=r"it has buffers \(kernel\)"):
        contract(on_stand(Buffers()))


def test_view_is_right_and_gets_a_note() -> None:
    s = on_stand(Gated(step=lambda m, F: F * m.gate(F.view(len(F), 24, -1, 1))))
    contract(s)
    assert s.notes == ["maps in channels_last memory stop it with an error: .reshape takes them, .view does not"]


def test_one_silent_hidden_unit_is_no_constant_gate() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        contract(on_stand(Gated(16, 16)))


# ---- what closes the gate --------------------------------------------------------------------------------------------


def closed(close_: Callable[[Tensor], Tensor], gates: int = 1) -> tuple[str, str] | None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(6, 24, 5, 7, generator=g, dtype=torch.float64)
    return closing(close_(z), close_(1e4 * z), close_(1e6 * z), gates)


@pytest.mark.parametrize(
    ("close_", "key"),
    [
        (torch.sigmoid, ""),
        (lambda z: 2 * z.sigmoid(), ""),
        (fn.hardsigmoid, ""),
        (lambda z: z.softmax(1), "softmax_over_channels"),
        (lambda z: z.flatten(2).softmax(2).view(z.shape), "softmax_over_places"),
        (lambda z: z, "no_sigmoid"),
        (torch.relu, "no_sigmoid"),
        (torch.tanh, "tanh_gate"),
        (lambda z: 1 + z.sigmoid(), "input_added"),
        (lambda z: z.relu().sigmoid(), "relu_before_sigmoid"),
        (lambda z: z.sigmoid().sigmoid(), "sigmoid_twice"),
        (lambda z: z.sigmoid() + z.flip(1).sigmoid(), "sigmoid_per_descriptor"),
    ],
)
def test_limits_name_what_closes_the_gate(close_: Callable[[Tensor], Tensor], key: str) -> None:
    assert (closed(close_) or ("", ""))[0] == key


def test_two_gates_may_reach_four() -> None:
    assert closed(lambda z: 4 * z.sigmoid() * z.flip(1).sigmoid(), gates=2) is None


def test_limits_of_a_module() -> None:
    with pytest.raises(Refused, match=r"between 0\.500 and 1\.000"):
        limits(on_stand(Gated(step=lambda m, F: F * torch.logit(m.gate(F).clamp(1e-9, 1 - 1e-9)).relu().sigmoid())))


def test_maps_have_no_value_near_zero_and_are_not_square() -> None:
    F = maps(5, 0)
    assert F.shape == (3, 5, 9, 13)
    assert F.abs().min() >= 0.1
    assert not close(F, maps(5, 1))
