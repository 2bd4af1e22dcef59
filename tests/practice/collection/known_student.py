"""What a second-year student tried with the built pages and the checks: the pitfalls between an empty cell and CBAM."""

from collections.abc import Callable
from typing import Any

import torch
from collection.entries import right, wrong
from torch import Tensor, nn


class MLP(nn.Module):
    """A channel gate with an MLP; what forward does is handed in."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(channels, channels // reduction)
        self.second = nn.Linear(channels // reduction, channels)

    def f(self, d: Tensor) -> Tensor:
        return self.second(self.first(d).relu())

    def gate(self, F: Tensor) -> Tensor:
        return torch.sigmoid(self.f(F.mean((2, 3))) + self.f(F.amax((2, 3))))[:, :, None, None]

    def forward(self, F: Tensor) -> Any:
        return F * self.gate(F)


class Where(nn.Module):
    """A spatial gate."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, F: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.cat([F.mean(1, True), F.amax(1, True)], 1)))

    def forward(self, F: Tensor) -> Any:
        return F * self.gate(F)


class Three(nn.Module):
    """ECA: a convolution over the averages."""

    def __init__(self, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, F: Tensor) -> Any:
        return F * torch.sigmoid(self.conv(F.mean((2, 3))[:, None]))[:, 0, :, None, None]


class Both(nn.Module):
    """CBAM."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.c, self.s = MLP(channels, reduction), Where()

    def forward(self, F: Tensor) -> Any:
        return self.s(self.c(F))


def student(like: str, key: str, forward: Callable[..., Any] | None = None, **methods: Callable[..., Any]) -> None:
    """The usual class with another forward, or another method."""
    usual = {"channel attention": MLP, "SE": MLP, "spatial attention": Where, "ECA": Three, "CBAM": Both}[like]
    name = "Student" + usual.__name__
    wrong(like, key)(type(name, (usual,), {**methods, **({"forward": forward} if forward else {})}))


CHANNEL, PLACES = "channel attention", "spatial attention"


# ---- F comes in twice, or not at all ---------------------------------------------------------------------------------

student("CBAM", "multiplied_by_F_twice", lambda s, F: s.s(s.c(F)) * F)
student("CBAM", "multiplied_by_F_twice", lambda s, F: s.s(s.c(F)) * s.c(F))
student(CHANNEL, "multiplied_by_F_twice", lambda s, F: s.gate(F) * F * F)
student(PLACES, "multiplied_by_F_twice", lambda s, F: s.gate(F) * F * F)
student("ECA", "multiplied_by_F_twice", lambda s, F: Three.forward(s, F) * F)
student("CBAM", "gates_not_applied", lambda s, F: s.s.gate(s.c.gate(F)))
student("CBAM", "gates_not_applied", lambda s, F: s.s.gate(s.c.gate(F)) * F)
student("CBAM", "returns_the_gate", lambda s, F: s.s.gate(s.c(F)) * s.c.gate(F))
student("CBAM", "returns_the_gate", lambda s, F: s.s.gate(s.c.gate(F)) * s.c.gate(F))
student("CBAM", "scales_F", lambda s, F: s.s.gate(s.c(F)) * F)
student("CBAM", "spatial_reads_F", lambda s, F: s.s.gate(F) * s.c(F))
student(CHANNEL, "gate_squared", lambda s, F: s.gate(F) ** 2 * F)


# ---- what comes back -------------------------------------------------------------------------------------------------


def forgotten(s: MLP, F: Tensor) -> None:
    F = s.gate(F) * F


student(CHANNEL, "no_return", forgotten)
student(CHANNEL, "no_return", lambda s, F: (s.gate(F) * F, s.gate(F)))
student("CBAM", "no_return", lambda s, F: (s.s(s.c(F)), s.s.gate(s.c(F))))
student(CHANNEL, "wrong_shape", lambda s, F: s.gate(F)[:, :, 0, 0] * F)


# ---- axes and shapes -------------------------------------------------------------------------------------------------


def over(*axes: int) -> Callable[[MLP, Tensor], Tensor]:
    return lambda s, F: F * torch.sigmoid(s.f(F.mean(axes)) + s.f(F.amax(axes)))[:, :, None, None]


student(CHANNEL, "wrong_axes", over(1, 2))
student(CHANNEL, "wrong_axes", over(1, 3))
student("SE", "wrong_axes", lambda s, F: F * torch.sigmoid(s.f(F.mean((1, 2))))[:, :, None, None])
student("SE", "raises_shape", lambda s, F: F * torch.sigmoid(s.f(F.mean(2)))[:, :, None, None])
student("SE", "raises_shape", lambda s, F: F * torch.sigmoid(s.f(nn.AdaptiveAvgPool2d(1)(F))))
student(CHANNEL, "raises_shape", lambda s, F: F * s.f(nn.AdaptiveAvgPool2d(0)(F).flatten(1)).sigmoid()[..., None, None])
student(PLACES, "raises_shape", lambda s, F: F * s.conv(torch.cat([F.mean(1), F.amax(1)], 1)).sigmoid())
student(PLACES, "raises_shape", lambda s, F: F * s.conv(torch.stack([F.mean(1), F.amax(1)])).sigmoid())
student(PLACES, "raises_shape", lambda s, F: F * s.conv(torch.cat([F.mean(1, True), F.amax(1, True)])).sigmoid())
student(PLACES, "raises_shape", lambda s, F: F * s.conv(torch.cat([F.mean(-1, True), F.amax(-1, True)], 1)).sigmoid())
student(
    PLACES,
    "pooled_over_places",
    lambda s, F: F * s.conv(torch.cat([F.mean((2, 3), True), F.amax((2, 3), True)], 1)).sigmoid(),
)
student(PLACES, "sum_over_channels", lambda s, F: F * s.conv(torch.cat([F.sum(1, True), F.amax(1, True)], 1)).sigmoid())


# ---- errors ----------------------------------------------------------------------------------------------------------

student(CHANNEL, "raises_max", lambda s, F: F * (s.f(F.mean((2, 3))) + s.f(F.max((2, 3)))).sigmoid()[..., None, None])
student(CHANNEL, "raises_max", lambda s, F: F * (s.f(F.mean((2, 3))) + s.f(F.max(2).max(2))).sigmoid()[..., None, None])
student(PLACES, "raises_max", lambda s, F: F * s.conv(torch.cat([F.mean(1, True), F.max(1, True)], 1)).sigmoid())
student(CHANNEL, "raises", lambda s, F: F * torch.sigmod(s.gate(F)))
student(CHANNEL, "raises", lambda s, F, scale: s.gate(F) * F * scale)
student("SE", "raises", lambda s, F: exit())


@wrong(CHANNEL, "raises_integer")
class Divided(MLP):
    def __init__(self, channels: int, reduction: int) -> None:
        nn.Module.__init__(self)
        self.first = nn.Linear(channels, channels / reduction)  # type: ignore[arg-type]
        self.second = nn.Linear(channels / reduction, channels)  # type: ignore[arg-type]


@wrong(CHANNEL, "raises")
class WithoutSuper(MLP):
    def __init__(self, channels: int, reduction: int) -> None:
        self.first = nn.Linear(channels, channels // reduction)


@wrong(CHANNEL, "unfilled")
class Misspelt(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()

    def forwards(self, F: Tensor) -> Tensor:
        return F


# ---- dtypes, weights, windows ----------------------------------------------------------------------------------------

student(CHANNEL, "dtype_changed", lambda s, F: F.float() * s.gate(F.float()))
student(PLACES, "dtype_changed", lambda s, F: F * s.gate(F.to(torch.float32)))


@wrong("CBAM", "weights_not_registered")
class InAList(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.gates = [MLP(channels, reduction), Where()]

    def forward(self, F: Tensor) -> Tensor:
        for gate in self.gates:
            F = gate(F)
        return F


@wrong(CHANNEL, "frozen")
class Frozen(MLP):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__(channels, reduction)
        for p in self.parameters():
            p.requires_grad_(False)


@wrong(CHANNEL, "fixed_size")
class Windows(MLP):
    def forward(self, F: Tensor) -> Tensor:
        a, m = nn.AvgPool2d(8)(F).flatten(1), nn.MaxPool2d(8)(F).flatten(1)
        return F * torch.sigmoid(self.f(a) + self.f(m))[:, :, None, None]


@wrong(CHANNEL, "not_a_module")
class NoModule:
    def __init__(self, channels: int, reduction: int) -> None:
        self.gate = MLP(channels, reduction)

    def __call__(self, F: Tensor) -> Tensor:
        return self.gate(F)


@wrong(CHANNEL, "not_a_module")
class NoModuleNoCall:
    def __init__(self, channels: int, reduction: int) -> None:
        self.gate = MLP(channels, reduction)

    def forward(self, F: Tensor) -> Tensor:
        return self.gate(F)


# ---- padding ---------------------------------------------------------------------------------------------------------


def convolution(like: str, key: str, make: Callable[[int], nn.Module]) -> None:
    """The usual class with another convolution."""
    usual = {PLACES: Where, "ECA": Three}[like]

    def init(self: Any, kernel_size: int) -> None:
        usual.__init__(self, kernel_size)
        self.conv = make(kernel_size)

    wrong(like, key)(type("Other" + usual.__name__, (usual,), {"__init__": init}))


convolution("ECA", "no_padding", lambda k: nn.Conv1d(1, 1, k, bias=False))
convolution("ECA", "even_kernel_shift", lambda k: nn.Conv1d(1, 1, k + 1, padding=(k + 1) // 2, bias=False))
convolution(PLACES, "no_padding", lambda k: nn.Conv2d(2, 1, k, bias=False))
convolution(PLACES, "reflect_padding", lambda k: nn.Conv2d(2, 1, k, padding=k // 2, padding_mode="reflect"))
convolution(PLACES, "gate_per_channel", lambda k: nn.Conv2d(2, 16, k, padding=k // 2))


# ---- the sizes that are asked for ------------------------------------------------------------------------------------

convolution(PLACES, "kernel_size_ignored", lambda k: nn.Conv2d(2, 1, k, padding=3, bias=False))
convolution(PLACES, "kernel_size_ignored", lambda k: nn.Conv2d(2, 1, 7, padding=3, bias=False))
convolution(PLACES, "kernel_size_ignored", lambda k: nn.Conv2d(2, 1, 3, padding=1, bias=False))
convolution("ECA", "kernel_size_ignored", lambda k: nn.Conv1d(1, 1, k, padding=1, bias=False))
convolution("ECA", "kernel_size_ignored", lambda k: nn.Conv1d(1, 1, 3, padding=1, bias=False))
convolution(PLACES, "", lambda k: nn.Conv2d(2, 1, k, padding="same"))
convolution("ECA", "", lambda k: nn.Conv1d(1, 1, k, padding="same"))


@wrong(CHANNEL, "reduction_ignored")
class AlwaysFour(MLP):
    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels, 4)


@wrong("CBAM", "reduction_ignored")
class FourInBoth(Both):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__(channels, 4)


@wrong("SE", "reduction_ignored")
class OnlyFour(MLP):
    """The second layer has a number where the parameter should stand."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__(channels, reduction)
        self.second = nn.Linear(channels // 4, channels)

    def forward(self, F: Tensor) -> Tensor:
        return F * torch.sigmoid(self.f(F.mean((2, 3))))[:, :, None, None]


@right(CHANNEL, "no parameter for r")
class NoReduction(MLP):
    def __init__(self, channels: int) -> None:
        super().__init__(channels, 16)


@right(CHANNEL, "the other order")
class ReductionFirst(MLP):
    def __init__(self, reduction: int, channels: int) -> None:
        super().__init__(channels, reduction)


@right(CHANNEL, "at least eight units")
class AtLeastEight(MLP):
    def __init__(self, channels: int, reduction: int) -> None:
        nn.Module.__init__(self)
        units = max(channels // reduction, 8)
        self.first, self.second = nn.Linear(channels, units), nn.Linear(units, channels)


@right(PLACES, "no parameter for the kernel size")
class NoSize(Where):
    def __init__(self) -> None:
        super().__init__(7)


@right(PLACES, "three or seven, as in the released code")
class ThreeOrSeven(Where):
    def __init__(self, kernel_size: int = 7) -> None:
        assert kernel_size in (3, 7)
        super().__init__(kernel_size)


@right(PLACES, "its padding is asked for, too")
class OwnPadding(Where):
    def __init__(self, kernel_size: int = 7, padding: int = 3) -> None:
        super().__init__(kernel_size)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=padding)


@right("ECA", "k from the channels")
class Adaptive(Three):
    def __init__(self, channels: int) -> None:
        super().__init__(3 if channels < 32 else 5)


@right("ECA", "k from the channels where they are given, as in timm")
class AdaptiveOrGiven(Three):
    def __init__(self, channels: int | None = None, kernel_size: int = 3) -> None:
        super().__init__(kernel_size if channels is None else 3 if channels < 32 else 5)


@right("ECA", "k given; the channels are not used, as in the released code")
class GivenOnly(Three):
    def __init__(self, channel: int, k_size: int = 3) -> None:
        super().__init__(k_size)


# ---- right ones ------------------------------------------------------------------------------------------------------


@right(CHANNEL, "the gate alone")
class GateAlone(MLP):
    def forward(self, F: Tensor) -> Tensor:
        return self.gate(F)


@right(CHANNEL, "the gate alone, (B, C)")
class FlatGateAlone(MLP):
    def forward(self, F: Tensor) -> Tensor:
        return self.gate(F)[:, :, 0, 0]


@right("CBAM", "from two gates alone")
class FromGates(Both):
    def forward(self, F: Tensor) -> Tensor:
        F = F * self.c.gate(F)
        return F * self.s.gate(F)


right("CBAM")(nn.Sequential(MLP(16, 4), Where()))
right(PLACES, "two maps stacked")(
    type("Stacked", (Where,), {"gate": lambda s, F: s.conv(torch.stack([F.mean(1), F.amax(1)], 1)).sigmoid()})
)
right(CHANNEL, "half precision")(MLP(16, 4).half())
