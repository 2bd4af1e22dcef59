"""Split attention against a naive loop, timm's layer, and the known size of ResNeSt-50."""

import pytest
import timm
import torch
from timm.layers import SplitAttn
from torch import Tensor

from cbam_lite import SplitAttention, resnest50


def naive(module: SplitAttention, F: Tensor) -> Tensor:
    """One image, one channel, one branch at a time; one group."""
    U = module.bn0(module.conv(F)).relu()
    C = U.shape[1] // module.radix
    result = []
    for b in range(len(F)):
        branches = [U[b, r * C : (r + 1) * C] for r in range(module.radix)]
        z = torch.stack([sum(branch[c].mean() for branch in branches) for c in range(C)])
        hidden = module.bn1(module.fc1(z[None, :, None, None])).relu()
        g = module.fc2(hidden).flatten()
        maps = []
        for c in range(C):
            logits = [g[r * C + c] for r in range(module.radix)]
            total = sum(logit.exp() for logit in logits)
            weights = [x.exp() / total for x in logits] if module.radix > 1 else [1 / (1 + (-logits[0]).exp())]
            maps.append(sum(weight * branch[c] for weight, branch in zip(weights, branches, strict=True)))
        result.append(torch.stack(maps))
    return torch.stack(result)


@pytest.mark.parametrize("radix", [1, 2, 3])
def test_value_and_gradient_are_those_of_the_loops(radix: int, device: torch.device) -> None:
    module = SplitAttention(6, 5, radix=radix).to(device, torch.float64).eval()
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64, device=device, requires_grad=True)
    weight = torch.randn(2, 5, 4, 3, dtype=torch.float64, device=device)
    ours, theirs = module(x), naive(module, x)
    assert torch.allclose(ours, theirs, atol=1e-10)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-10)


def test_branches_compete_and_a_single_one_does_not() -> None:
    branches = torch.randn(2, 3, 8, 4, 4)
    weights = SplitAttention(12, 8, radix=3).eval().attention(branches)
    assert weights.shape == (2, 3, 8)
    assert torch.allclose(weights.sum(1), torch.ones(2, 8))
    single = SplitAttention(12, 8, radix=1).eval().attention(branches[:, :1])
    assert 0 < single.min()
    assert single.max() < 1


@pytest.mark.parametrize(("radix", "groups"), [(1, 1), (2, 1), (2, 2), (4, 2)])
@torch.no_grad()
def test_it_is_timms_layer(radix: int, groups: int) -> None:
    theirs = SplitAttn(64, groups=groups, radix=radix, norm_layer=torch.nn.BatchNorm2d).eval()
    ours = SplitAttention(64, 64, radix=radix, groups=groups).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 64, 8, 8)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


@torch.no_grad()
def test_resnest50_is_timms() -> None:
    theirs = timm.create_model("resnest50d").eval()
    ours = resnest50().eval()
    ours.load_state_dict(theirs.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == 27_483_240
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_the_hidden_layer_has_at_least_32_units() -> None:
    assert SplitAttention(64, 64).fc1.out_channels == 32  # 64 * 2 / 4
    assert SplitAttention(64, 64, reduction=2).fc1.out_channels == 64
    assert SplitAttention(64, 64, reduction=1, radix=1).fc1.out_channels == 64
    assert SplitAttention(66, 64, reduction=3).fc1.out_channels == 44
    assert SplitAttention(66, 64, reduction=130).fc1.out_channels == 32


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "radix", "groups", "reduction"])
def test_sizes_are_whole_numbers(name: str) -> None:
    sizes = {"in_channels": 8, "out_channels": 8}
    for value in (0, -1):
        with pytest.raises(ValueError, match=rf"^{name}={value} must be at least 1$"):
            SplitAttention(**(sizes | {name: value}))
    with pytest.raises(TypeError, match=rf"^{name} must be a whole number, got '4' of type str$"):
        SplitAttention(**(sizes | {name: "4"}))


def test_errors_name_the_fix() -> None:
    with pytest.raises(ValueError, match=r"groups=3 times radix=2 must divide in_channels=8.*multiples of 6"):
        SplitAttention(8, 8, groups=3)
    with pytest.raises(ValueError, match="radix=0 must be at least 1"):
        SplitAttention(8, 8, radix=0)
    with pytest.raises(ValueError, match=r"one image \(B=1\) has no variance .* use a batch of 2 or eval\(\)"):
        SplitAttention(8, 8)(torch.randn(1, 8, 4, 4))
