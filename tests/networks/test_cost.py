"""The counter against PyTorch's own, against counts by hand, and against the passes that the maths needs."""

import copy
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
    record_attention,
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
    "transposed": lambda: nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1),
    "transposed, in one dimension": lambda: nn.Sequential(nn.Flatten(2), nn.ConvTranspose1d(3, 6, 5, 4, groups=3)),
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


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "out"), [(1, 0, 1), (2, 1, 0), (3, 0, 2)])
def test_one_transposed_convolution_by_hand(groups: int, stride: int, padding: int, out: int) -> None:
    """Each of the 8 x 5 x 6 inputs is multiplied with 3 x 3 numbers for each output channel of its group."""
    out = out if stride > 1 else 0
    layer = nn.ConvTranspose2d(8, 4, 3, stride, padding, out, groups, bias=False)
    assert cost(layer, (8, 5, 6)).multiply_adds == 8 * 5 * 6 * 4 // groups * 9
    ones = copy.deepcopy(layer.cpu()).requires_grad_(False)
    if padding == out == 0:  # nothing is cut off: with ones everywhere, the sum of the output counts the products
        nn.init.ones_(ones.weight)
        assert ones(torch.ones(1, 8, 5, 6)).sum() == cost(layer, (8, 5, 6)).multiply_adds


PRODUCTS = {
    "dot": (lambda x: x.flatten() @ x.flatten(), 60),
    "mv": (lambda x: x.view(4, 15) @ x.view(4, 15)[0], 60),
    "addmv": (lambda x: torch.addmv(x.view(4, 15)[:, 0], x.view(4, 15), x.view(4, 15)[0]), 60),
    "mm": (lambda x: x.view(4, 15) @ x.view(15, 4), 240),
    "addmm": (lambda x: torch.addmm(x.view(4, 15)[:, :2], x.view(4, 15), x.view(15, 4)[:, :2]), 120),
    "addmm_": (lambda x: x.view(4, 15)[:, :2].clone().addmm_(x.view(4, 15), x.view(15, 4)[:, :2]), 120),
    "bmm": (lambda x: x.view(3, 4, 5) @ x.view(3, 5, 4), 240),
    "baddbmm": (lambda x: torch.baddbmm(x.new_zeros(3, 4, 4), x.view(3, 4, 5), x.view(3, 5, 4)), 240),
    "addbmm": (lambda x: torch.addbmm(x.new_zeros(4, 2), x.view(3, 4, 5), x.view(3, 5, 4)[..., :2]), 120),
    "einsum": (lambda x: torch.einsum("bij,bj->bi", x.view(3, 4, 5), x.view(3, 4, 5)[:, 0]), 60),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_of_matrices_counts(name: str) -> None:
    function, products = PRODUCTS[name]

    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    assert cost(Product(), (3, 4, 5)).multiply_adds == products


def test_a_transformer_layer_by_hand() -> None:
    """4 tokens of 8 numbers: three projections, two products of tokens with tokens, one projection, two layers."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert cost(layer, (4, 8)).multiply_adds == 4 * 8 * 24 + 2 * 4 * 4 * 8 + 4 * 8 * 8 + 2 * 4 * 8 * 16


def test_a_weight_that_two_modules_share_counts_once() -> None:
    first, second = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
    second.weight = first.weight
    counted = cost(nn.Sequential(first, second), (4, 5, 5))
    assert [row.parameters for row in counted.rows] == [16, 0]
    assert counted.multiply_adds == 2 * 16 * 25


def test_a_norm_without_weights_moves_its_map_all_the_same() -> None:
    counted = cost(nn.BatchNorm2d(4, affine=False), (4, 5, 5))
    assert (counted.parameters, counted.multiply_adds) == (0, 0)
    assert counted.moved >= 2 * 4 * 25


def test_hooks_of_a_recording_do_not_see_the_count() -> None:
    model = nn.Sequential(CBAM(4, 2))
    with record_attention(model) as maps:
        cost(model, (4, 5, 5))
    assert not maps


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("resnet18",), TypeError, r"^model must be a torch\.nn\.Module, got 'resnet18' of type str$"),
        ((nn.ReLU(), 224), TypeError, r"^input_size=224 must be a tuple such as \(3, 224, 224\)$"),
        ((nn.ReLU(), None), TypeError, r"^input_size=None must be a tuple"),
        ((nn.ReLU(), (3, 0, 4)), ValueError, r"^each number of input_size=0 must be at least 1$"),
        ((nn.ReLU(), (3, 4.0)), TypeError, r"^each number of input_size must be a whole number, got 4\.0"),
    ],
)
def test_hostile_arguments_are_named(arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cost(*arguments)


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
