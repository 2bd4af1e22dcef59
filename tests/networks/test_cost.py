"""The counter against PyTorch's own, against counts by hand, and against the passes that the maths needs."""

import functools

import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cbam_lite import (
    CBAM,
    Cost,
    EfficientChannelAttention,
    MobileNet,
    SqueezeExcitation,
    cost,
    multiply_adds,
    resnest50,
    resnet18,
    resnet50,
)


class Products(nn.Module):
    """Matrix products outside of layers: as in a transformer."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2)  # (B, C, N)
        return (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens


MODELS = {
    "resnet18 with CBAM": functools.partial(resnet18, CBAM),
    "resnest50": resnest50,
    "MobileNet with ECA": functools.partial(MobileNet, EfficientChannelAttention),
    "torchvision mobilenet_v3_small": tv.mobilenet_v3_small,
    "torchvision resnext50": tv.resnext50_32x4d,
    "dilated": lambda: nn.Conv2d(3, 8, 3, dilation=2, groups=1),
    "linear over the last axis": lambda: nn.Linear(64, 5),
    "without a bias": lambda: nn.Linear(64, 5, bias=False),
    "products": Products,
}


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_multiply_adds_are_half_of_pytorchs_flops(name: str) -> None:
    model = MODELS[name]().eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 64, 64))
    assert counter.get_total_flops() > 0
    assert 2 * cost(model, (3, 64, 64)).multiply_adds == counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4])
def test_one_convolution_by_hand(groups: int) -> None:
    conv = nn.Conv2d(16, 32, 3, stride=2, padding=1, groups=groups, bias=False)
    counted = cost(conv, (16, 10, 12))
    assert counted.multiply_adds == multiply_adds(16, 32, 3, 5, 6, groups) == 32 * 5 * 6 * 16 // groups * 9
    assert counted.parameters == 32 * 16 // groups * 9
    assert counted.moved == 16 * 10 * 12 + 32 * 5 * 6 + counted.parameters  # reads map and weights, writes the map


@pytest.mark.parametrize(
    ("module", "passes"), [(SqueezeExcitation(64), 3), (EfficientChannelAttention(64), 3), (CBAM(64), 8)]
)
def test_memory_passes_are_those_of_the_maths(module: nn.Module, passes: int) -> None:
    """SE and ECA: average, product (2). CBAM: average, maximum, product (2), over places and then over channels."""
    assert cost(module, (64, 96, 96)).moved / (64 * 96 * 96) == pytest.approx(passes, rel=0.03)


def test_known_totals() -> None:
    counted = cost(resnet50(CBAM.official))
    assert counted.parameters == 28_089_624
    assert counted.of(".attention").parameters == 2_532_592
    assert round(counted.of(".attention").multiply_adds / 1e6, 3) == 6.389
    assert round(cost(resnet50()).multiply_adds / 1e9, 3) == 4.089


def test_parts_add_up() -> None:
    counted = cost(resnet18(CBAM), (3, 64, 64))
    stages = [counted.of(f"layer{stage}.") for stage in (1, 2, 3, 4)]
    rest = [counted.of(name) for name in ("conv1", "bn1", "relu", "maxpool", "avgpool", "fc", "ResNet")]
    assert all(isinstance(part, Cost) for part in stages)
    inside = sum(part.parameters for part in stages)
    outside = sum(row.parameters for part in rest for row in part.rows if "." not in row.name)
    assert inside + outside == counted.parameters


def test_the_model_stays_as_it_is() -> None:
    model = resnet18(CBAM, num_classes=3).double().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    cost(model, (3, 32, 32))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" and p.dtype == torch.float64 for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_shared_module_has_its_weights_once_and_its_work_twice() -> None:
    layer = nn.Conv2d(4, 4, 1, bias=False)
    counted = cost(nn.Sequential(layer, layer), (4, 5, 5))
    assert counted.parameters == 16
    assert counted.multiply_adds == 2 * 16 * 25


def test_the_table_has_a_line_for_each_module_and_the_sums() -> None:
    counted = cost(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(32, 5)), (3, 2, 2))
    header, *lines, sums = str(counted).splitlines()
    assert header.split() == ["module", "kind", "output", "parameters", "multiply-adds", "moved"]
    assert [line.split()[1] for line in lines] == ["Conv2d", "Linear"]  # flattening costs nothing
    assert "8 x 2 x 2" in lines[0]
    assert sums.split() == ["together", "197", "256", "278"]
    assert len({len(line) for line in (header, *lines, sums)}) == 1


def test_an_image_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ResNet does not take input_size=\(1, 64, 64\): Invalid channel dim"):
        cost(resnet18(), (1, 64, 64))
