"""Where attention goes into networks of all kinds: channels are known, told by an example, or refused."""

import copy

import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.googlenet import Inception
from torchvision.models.squeezenet import Fire

from cbam_lite import CBAM, SqueezeExcitation, insert_attention
from cbam_lite.networks.channels import certain_channels


class Both(nn.Module):
    """Its input beside a convolution of it: its last layer does not tell its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.norm(self.conv(x))], 1)


class Loop(nn.Module):
    """One layer that runs several times, on maps of several widths; one that never runs; one that gives no map."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.unused, self.flatten = nn.ReLU(), nn.ReLU(), nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.flatten(self.relu(torch.cat([self.relu(x), x], 1)))


GUESSES = {
    "SqueezeNet": (lambda: nn.Sequential(Fire(3, 2, 4, 4)), "0", 8),
    "GoogLeNet": (lambda: nn.Sequential(Inception(3, 4, 2, 5, 2, 6, 7)), "0", 22),
    "DenseNet": (lambda: tv.DenseNet(4, (2, 2), 8), "features.denseblock1", 16),
    "ShuffleNet": (tv.shufflenet_v2_x0_5, "stage2", 48),
    "pixel shuffle": (lambda: nn.Sequential(nn.Sequential(nn.Conv2d(3, 16, 3), nn.PixelShuffle(2))), "0", 4),
    "PReLU": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU()), "1", 8),
    "PReLU with a weight for each channel": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8)), "1", 8),
    "concatenation": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Both()), "1", 10),
}


@pytest.mark.parametrize("name", GUESSES)
def test_a_guess_is_refused_and_an_example_tells(name: str) -> None:
    make, where, channels = GUESSES[name]
    network, lines, x = make().eval(), [], torch.randn(1, 3, 32, 32)
    before, names = network(x), list(network.state_dict())
    with pytest.raises(
        ValueError, match=rf"^cannot tell the channels after {where} .* as example=\.\.\., or insert after a"
    ):
        insert_attention(network, SqueezeExcitation, where, hidden=2, report=lines.append)
    assert (list(network.state_dict()), lines) == (names, [])
    insert_attention(network, SqueezeExcitation, where, hidden=2, example=x, report=lines.append)
    assert lines == [f"SqueezeExcitation for {channels} channels after {where}"]
    assert torch.equal(network(x), before)


def test_the_example_leaves_the_network_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), Both(), nn.ReLU())
    network[3].eval()
    modes = {name: module.training for name, module in network.named_modules()}
    before = copy.deepcopy(network.state_dict())
    place = network[3]
    insert_attention(network, SqueezeExcitation, "3", hidden=2, example=torch.randn(2, 3, 8, 8), report=None)
    assert network[3].layer is place
    assert not network[3].attention.training  # as the place
    assert {name: network.get_submodule(name.replace("3.", "3.layer.")).training for name in modes if name != "3"} == {
        name: training for name, training in modes.items() if name != "3"
    }
    after = {name.replace("3.layer.", "3."): value for name, value in network.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_an_example_may_be_a_tuple_of_inputs() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = Both()

        def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"sum": self.both(x + y)}

    x, lines = torch.randn(1, 4, 5, 5), []
    network = insert_attention(Sum(), CBAM, "both", hidden=2, init="default", example=(x, x), report=lines.append)
    assert network.both.attention.channel_attention.channels == 10
    assert lines[1].startswith("the output for the example moved by 7")


CERTAIN = [
    (nn.Conv2d(3, 8, 1), 8),
    (nn.ConvTranspose2d(3, 8, 1), 8),
    (nn.BatchNorm2d(8, affine=False), 8),
    (nn.SyncBatchNorm(8), 8),
    (nn.GroupNorm(2, 8), 8),
    (nn.InstanceNorm2d(8), 8),
    (nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.PReLU(8), nn.MaxPool2d(2), nn.Identity()), 8),
    (nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 1)), nn.Sequential(nn.Conv2d(5, 8, 1), nn.ReLU())), 8),
    (tv.resnet.BasicBlock(8, 8), 8),
    (tv.resnet.Bottleneck(8, 2), 8),
    (nn.ModuleDict({"bn2": nn.BatchNorm2d(8)}), None),  # no shortcut beside it: no residual block
    (nn.Conv1d(3, 8, 1), None),
    (nn.Conv3d(3, 8, 1), None),
    (nn.BatchNorm1d(8), None),
    (nn.LazyBatchNorm2d(), None),
    (nn.LayerNorm(8), None),
    (nn.PReLU(8), None),
    (nn.GLU(1), None),
    (nn.Linear(3, 8), None),
    (nn.Sequential(nn.ReLU()), None),
    (nn.Sequential(nn.Conv2d(3, 8, 1), nn.GLU(1)), None),
    (nn.ModuleList([nn.Conv2d(3, 8, 1)]), None),
]


@pytest.mark.parametrize(("module", "channels"), CERTAIN, ids=lambda value: type(value).__name__)
def test_what_is_certain(module: nn.Module, channels: int | None) -> None:
    assert certain_channels(module) == channels


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("relu", r"^relu runs several times and gives maps of several widths, .*\(2, 8, 8, 8\)\]: insert elsewhere"),
        ("unused", r"^unused does not run for this example: insert where the model comes by"),
        ("flatten", r"^flatten gives \(2, 512\), not a map \(B, C, H, W\): insert after a convolution or a norm"),
    ],
)
def test_what_an_example_cannot_tell(where: str, message: str) -> None:
    network = Loop()
    with pytest.raises(ValueError, match=message):
        insert_attention(network, SqueezeExcitation, where, hidden=2, example=torch.randn(2, 4, 8, 8))
    assert not any(module._forward_hooks for module in network.modules())
    assert network.training
    assert [name for name, _ in network.named_modules()] == ["", "relu", "unused", "flatten"]


def test_a_place_that_runs_twice_on_maps_of_one_width() -> None:
    block, x = tv.resnet.BasicBlock(8, 8).eval(), torch.randn(1, 8, 4, 4)
    before = block(x)
    insert_attention(block, SqueezeExcitation, "relu", hidden=2, example=x, report=None)
    assert torch.equal(block(x), before)


def test_a_place_without_weights_follows_the_model() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).double()
    insert_attention(network, SqueezeExcitation, "1", hidden=2, example=torch.randn(1, 3, 5, 5).double(), report=None)
    assert network[1].attention.W_1.weight.dtype == torch.float64


def test_an_inserted_module_is_on_the_device_of_its_place() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, device="meta"))
    insert_attention(network, CBAM, ["0", "1"], hidden=2, report=None)
    assert {parameter.device.type for parameter in network[0].attention.parameters()} == {"cpu"}
    assert {parameter.device.type for parameter in network[1].attention.parameters()} == {"meta"}
