"""Each reason for the written path in whole sentences, and for exactly what it is said."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcitation,
    fuse,
    resnet18,
    use_fused,
    why_not,
)
from cbam_lite.attention.parts import Gate
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.speed import reasons
from cbam_lite.speed.reasons import (
    layers_of,
    of_caller,
    of_device,
    of_map,
    of_module,
    own_convolution,
    own_norm,
    pools_of,
)


class Mine(CBAM):
    """A class of a user's own."""


class OwnGate(Gate):
    """A gate of a user's own."""


def having(name: str, part: nn.Module) -> Callable[[], nn.Module]:
    """A CBAM with another part."""

    def make() -> nn.Module:
        module = CBAM(16, 4)
        module.set_submodule(name, part)
        return module

    return make


HAVE = "has no fused kernels: SqueezeExcitation, ChannelAttention and CBAM (channel-first) have"
SPATIAL, CHANNEL = "a part of the spatial gate was replaced", "a part of the channel gate was replaced"
OPTIONS = {"planes": 16, "stem": "small", "num_classes": 3}
MODULES: list[tuple[Callable[[], nn.Module], str | None]] = [
    (lambda: CBAM(16, 4), None),
    (lambda: CBAM(16, 4, spatial_pool="none"), None),
    (lambda: CBAM(16, 4, gate="hardsigmoid"), None),
    (lambda: SqueezeExcitation(16, 4, pool="max"), None),
    (lambda: ChannelAttention(16, 4), None),
    (having("spatial_attention.norm", nn.Identity()), None),
    (having("spatial_attention.conv", nn.Conv2d(2, 1, 3, padding=1)), None),
    (lambda: EfficientChannelAttention(16), f"EfficientChannelAttention {HAVE}"),
    (lambda: CBAM(16, 4, order="parallel"), f"CBAM {HAVE}"),
    (lambda: Mine(16, 4), f"Mine {HAVE}"),
    (nn.Flatten, f"Flatten {HAVE}"),
    (
        lambda: resnet18(CBAM, **OPTIONS).layer1[0],  # type: ignore[arg-type]
        "BasicBlock has no fused kernels of its own: ask its attention, with the map that reaches it",
    ),
    (having("channel_attention.W_0", nn.Sequential(nn.Linear(16, 4))), CHANNEL),
    (having("channel_attention.W_1", nn.Sequential(nn.Linear(4, 16))), CHANNEL),
    (having("channel_attention.gate", OwnGate("sigmoid")), CHANNEL),
    (
        lambda: CBAM(16, 4, spatial_pool="conv"),
        "the spatial gate has a learnt descriptor: the kernels have avg and max",
    ),
    (having("spatial_attention.descriptors", nn.Identity()), SPATIAL),
    (having("spatial_attention.conv", nn.Conv2d(2, 1, 4, padding=2)), SPATIAL),
    (having("spatial_attention.norm", nn.BatchNorm2d(1, affine=False)), SPATIAL),
    (having("spatial_attention.gate", OwnGate("sigmoid")), SPATIAL),
    (having("spatial_attention.gate", Gate("tanh")), "the two gates have different functions"),
    (having("spatial_attention.gate", Gate("sigmoid", "identity")), "the two gates have different functions"),
    (lambda: CBAM(16, 4, pool="max+lse"), "the pools are max, lse, avg, max: the kernels have avg and max"),
    (lambda: CBAM(16, 4, spatial_pool="lp+max"), "the pools are avg, max, lp, max: the kernels have avg and max"),
    (lambda: SqueezeExcitation(16, 4, pool="lp"), "the pools are lp: the kernels have avg and max"),
]


@pytest.mark.parametrize(("make", "reason"), MODULES)
def test_of_the_module(make: Callable[[], nn.Module], reason: str | None) -> None:
    assert of_module(make()) == reason


def test_of_a_hook_that_listens() -> None:
    module = CBAM(16, 4)
    module.channel_attention.W_0.register_forward_hook(lambda *_: None)
    assert of_module(module) == "a hook on CBAM or one of its parts, or a forward set there, would not be called"
    assert of_module(module, hooks=False) is None


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({}, True),
        ({"kernel_size": 3, "padding": 1}, True),
        ({"kernel_size": 1, "padding": 0}, True),
        ({"padding": 2}, False),
        ({"padding": (3, 2)}, False),
        ({"kernel_size": (7, 5), "padding": (3, 2)}, False),
        ({"kernel_size": 6}, False),
        ({"stride": (1, 2)}, False),
        ({"stride": (2, 1)}, False),
        ({"dilation": (1, 2)}, False),
        ({"dilation": (2, 1)}, False),
        ({"padding_mode": "reflect"}, False),
        ({"out_channels": 2}, False),
    ],
)
def test_a_convolution_as_the_module_makes_it(options: dict[str, object], own: bool) -> None:
    made = {"in_channels": 2, "out_channels": 1, "kernel_size": 7, "padding": 3} | options
    assert own_convolution(nn.Conv2d(**made)) == own  # type: ignore[arg-type]


def test_parts_of_another_kind_are_not_our_own() -> None:
    class Conv(nn.Conv2d):
        pass

    assert not own_convolution(Conv(2, 1, 7, padding=3))
    assert [own_norm(norm) for norm in (nn.Identity(), nn.BatchNorm2d(1), nn.SyncBatchNorm(1))] == [True, True, False]


def test_both_halves_of_a_gate_are_found() -> None:
    se, cbam = SqueezeExcitation(16, 4), ChannelAttention(16, 4)
    assert layers_of(se) == (se.W_1, se.W_2)
    assert layers_of(cbam) == (cbam.W_0, cbam.W_1)
    assert (pools_of(se), pools_of(cbam)) == (("avg",), ("avg", "max"))


# ---- the map, the caller, the machine --------------------------------------------------------------------------------

F = torch.rand(2, 16, 6, 5)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (F, None),
        (F.half(), None),
        (F.bfloat16().to(memory_format=torch.channels_last), None),
        (F.double(), "the map is torch.float64: the kernels take float32, float16 and bfloat16"),
        (F[0], "the map is empty or not (B, C, H, W): (16, 6, 5)"),
        (F[:, :0], "the map is empty or not (B, C, H, W): (2, 0, 6, 5)"),
        (F[..., 1:], "the map is neither contiguous nor channels_last: its strides are (480, 30, 5, 1)"),
        (
            torch.empty(1, 2, 2**15, 2**15, device="meta"),
            "one image has 2,147,483,648 numbers: the kernels count them in 32 bits, up to 2,147,483,647",
        ),
    ],
)
def test_of_the_map(image: Tensor, reason: str | None) -> None:
    assert of_map(image, None) == reason


def test_of_the_shortcut() -> None:
    assert of_map(F, F) is None
    for shortcut in (F[:1], F.double(), F.to("meta")):
        shape, dtype = tuple(shortcut.shape), shortcut.dtype
        assert of_map(F, shortcut) == f"the shortcut is {shape} {dtype}, the map (2, 16, 6, 5) torch.float32"


def test_of_who_calls() -> None:
    said: list[str | None] = [of_caller()]

    def asks(x: Tensor) -> Tensor:
        said.append(of_caller())
        return x * 2

    torch.jit.trace(asks, (F,), check_trace=False)
    torch.func.vmap(asks)(F)
    torch.func.jvp(asks, (F,), (F,))
    with torch.autograd.forward_ad.dual_level():
        said.append(of_caller())
    exported, transformed = (
        "the module is being exported, and the file should need nothing of ours",
        "torch.func or forward-mode derivatives are active",
    )
    assert said == [None, exported, transformed, transformed, transformed]


def test_a_machine_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr(reasons, "tried", {})
    monkeypatch.setattr(reasons, "HAS_TRITON", True)
    monkeypatch.setattr(reasons, "trial", lambda index: asked.append(index) or f"not on {index}")
    assert [of_device(index) for index in (1, 1, None, 1)] == ["not on 1", "not on 1", "not on None", "not on 1"]
    assert asked == [1, None]
    monkeypatch.setattr(reasons, "HAS_TRITON", False)
    assert of_device(1) == "Triton is not installed"


def test_what_a_trial_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    def right(x: Tensor, M_c: Tensor, *rest: object) -> Tensor:
        return (x * M_c[:, :, None, None]).relu()

    def pools(x: Tensor) -> tuple[Tensor, None]:
        return torch.stack([x.mean((2, 3)), x.amax((2, 3))]), None

    def places(x: Tensor, M_c: Tensor) -> tuple[Tensor, None]:
        scaled = x * M_c[:, :, None, None]
        return torch.stack([scaled.mean(1), scaled.amax(1)], 1), None

    def broken(*_: object) -> Tensor:
        raise OSError("no compiler")

    wrong = "the kernels gave another result than PyTorch on this device"
    own = {"channel_pools": pools, "place_pools": places, "refine": right}
    for change, reason in (
        ({}, None),
        ({"refine": broken}, "Triton does not run on this device: OSError: no compiler"),
        ({"refine": lambda *given: right(*given) + 2e-4}, wrong),
        ({"channel_pools": lambda x: (pools(x)[0].flip(0), None)}, wrong),
        ({"place_pools": lambda x, M_c: (places(x, M_c)[0].flip(1), None)}, wrong),
        ({"place_pools": lambda x, M_c: (places(x, 1 + 0 * M_c)[0], None)}, wrong),
        ({"refine": lambda x, M_c, *rest: x * M_c[:, :, None, None]}, wrong),
        ({"refine": lambda *given: right(*given) + 1e-6}, None),
    ):
        for name, function in (own | change).items():
            monkeypatch.setattr(reasons, name, function)
        assert reasons.trial(None) == reason


# ---- all of them -----------------------------------------------------------------------------------------------------


def test_the_first_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    module = CBAM(16, 4)
    assert why_not(module, "text") == "expected a torch.Tensor, got str"  # type: ignore[arg-type]
    monkeypatch.setattr(reasons, "DEVICES", ("cuda", "xpu"))
    assert why_not(module, F) == "the map is on cpu: the kernels need cuda or xpu"
    monkeypatch.setattr(reasons, "DEVICES", ("cpu",))
    monkeypatch.setattr(reasons, "of_device", lambda index: None)
    with use_fused(False):
        assert why_not(module, F) == "use_fused(False) is in force, or CBAM_LITE_FUSED=0"
    assert why_not(module, F) == "the module is not fused: call fuse(model)"
    fuse(module, report=None)
    assert why_not(module, F) is None
    assert why_not(module, F, F[:1]) is not None
    monkeypatch.setattr(reasons, "of_device", lambda index: f"device {index}")
    assert why_not(module, F) == "device None"
    monkeypatch.setattr(reasons, "of_module", lambda module: "module")
    assert why_not(module, F) == "module"
    monkeypatch.setattr(reasons, "of_caller", lambda: "caller")
    assert why_not(module, F) == "caller"
    assert why_not(module, F.double()) == of_map(F.double(), None)


def test_a_spatial_gate_of_a_users_own_is_not_covered() -> None:
    class Inside(SpatialAttention):
        pass

    assert of_module(having("spatial_attention", Inside(16))()) == f"CBAM {HAVE}"
