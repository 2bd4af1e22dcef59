"""Attention goes into trained networks, and the networks compute what they computed before."""

import copy
import functools
import pickle
import re

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from cbam_lite import CBAM, EfficientChannelAttention, SqueezeExcitation, insert_attention, record_attention, resnet18
from cbam_lite.networks.insertion import moved

quiet = functools.partial(insert_attention, report=None)

NETWORKS = {
    "torchvision resnet18": (tv.resnet18, None, 8),
    "torchvision resnet50": (tv.resnet50, None, 16),
    "timm resnet18": (lambda: timm.create_model("resnet18"), None, 8),
    "timm resnet50": (lambda: timm.create_model("resnet50"), None, 16),
    "torchvision vgg16": (lambda: tv.vgg16(init_weights=False).features, ["2", "2[14]"], 3),
    "torchvision mobilenet_v3_small": (tv.mobilenet_v3_small, "features.[5-9].block.1.0", 5),
    "torchvision efficientnet_b0": (tv.efficientnet_b0, "features.3.*.block.3.1", 2),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def built(name: str) -> tuple[nn.Module, object, int]:
    make, where, places = NETWORKS[name]
    return make(), where, places


def images(size: int = 64, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, size, size)


# ---- without harm ---------------------------------------------------------------------------------------------------


@networks
@pytest.mark.parametrize("attention", [CBAM, CBAM.official, SqueezeExcitation, EfficientChannelAttention])
def test_the_output_is_unchanged(name: str, attention) -> None:
    network, where, places = built(name)
    x = images()
    before = network.eval()(x)
    options = {} if attention is EfficientChannelAttention else {"reduction": 4}
    changed = quiet(network, attention, where, **options)
    assert changed is network
    assert torch.equal(network(x), before)
    with record_attention(network) as maps:
        network(x)
    assert len(maps) == places * (2 if attention in (CBAM, CBAM.official) else 1)
    assert all((gate == 1).all() for gate in maps.values())


@pytest.mark.parametrize("name", ["torchvision resnet18", "timm resnet50"])
def test_training_starts_unchanged_with_the_same_batch_statistics(name: str) -> None:
    network, where, _ = built(name)
    plain = copy.deepcopy(network)
    quiet(network, CBAM, where)
    x = images()
    torch.testing.assert_close(network(x), plain(x))
    statistics = {key.replace(".layer.", "."): value for key, value in network.named_buffers()}
    for key, value in plain.named_buffers():
        torch.testing.assert_close(statistics[key], value)


def test_three_steps_move_the_gates() -> None:
    network = quiet(tv.resnet18(num_classes=4), CBAM)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, labels = images(batch=4), torch.arange(4)
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        assert loss.isfinite()
        optimizer.step()
    with record_attention(network) as maps:
        network(x)
    assert all((gate != 1).any() for gate in maps.values())


def test_default_init_inserts_fresh_gates() -> None:
    network = tv.resnet18().eval()
    x = images()
    before = network(x)
    quiet(network, CBAM, init="default")
    assert not torch.allclose(network(x), before)


# ---- where ----------------------------------------------------------------------------------------------------------


def test_it_says_where_it_puts_attention() -> None:
    lines: list[str] = []
    insert_attention(tv.resnet18(), CBAM, "layer4.*.bn2", report=lines.append)
    assert lines == ["CBAM for 512 channels after layer4.0.bn2", "CBAM for 512 channels after layer4.1.bn2"]


def test_it_prints_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    insert_attention(tv.resnet18(), SqueezeExcitation, "layer1.0.bn2")
    assert capsys.readouterr().out == "SqueezeExcitation for 64 channels after layer1.0.bn2\n"
    quiet(tv.resnet18())
    assert capsys.readouterr().out == ""


def test_residual_blocks_get_it_after_their_last_norm() -> None:
    for make, norm in ((tv.resnet18, "bn2"), (tv.resnet50, "bn3")):
        lines: list[str] = []
        insert_attention(make(), report=lines.append)
        assert all(line.endswith(f".{norm}") and "downsample" not in line for line in lines)


def test_patterns_may_overlap_and_follow_the_order_of_the_model() -> None:
    lines: list[str] = []
    insert_attention(tv.resnet18(), where=["layer4.1.bn2", "layer*.1.bn2"], report=lines.append)
    assert [line.split()[-1] for line in lines] == [f"layer{n}.1.bn2" for n in (1, 2, 3, 4)]


def test_one_block_by_itself() -> None:
    block = tv.resnet18().layer1[0].eval()
    x = torch.randn(2, 64, 8, 8)
    before = block(x)
    assert torch.equal(quiet(block, CBAM)(x), before)
    assert isinstance(block.bn2.attention, CBAM)


def test_a_whole_stage_gets_the_channels_of_its_end() -> None:
    network = quiet(tv.resnet50(), SqueezeExcitation, "layer2")
    assert network.layer2.attention.channels == 512


def test_new_modules_follow_dtype_mode_and_device(device: torch.device) -> None:
    network = tv.resnet18().double().eval().to(device)
    network.layer4.train()
    quiet(network, CBAM)
    assert {(p.dtype, p.device.type) for p in network.parameters()} == {(torch.float64, device.type)}
    assert not network.layer1[0].bn2.attention.training
    assert network.layer4[0].bn2.attention.training


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(4, 8), nn.InstanceNorm2d(8), nn.BatchNorm2d(8, affine=False), FrozenBatchNorm2d(8)]
)
def test_every_kind_of_norm_is_a_place(norm: nn.Module) -> None:
    """Also norms without parameters: the dtype of their statistics counts, and where there are none, the default."""
    network = copy.deepcopy(nn.Sequential(norm)).eval()
    quiet(network, SqueezeExcitation, "0", hidden=2)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(network(x), norm.eval()(x))
    assert network[0].attention.channels == 8


def test_a_norm_without_parameters_gives_the_dtype_of_its_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(8, affine=False)).double()
    quiet(network, SqueezeExcitation, "0", hidden=2)
    assert network[0].attention.W_1.weight.dtype == torch.float64


def test_options_and_functions_of_your_own() -> None:
    network = quiet(tv.resnet18(), CBAM, "layer1.0.bn2", reduction=8, kernel_size=3)
    cbam = network.layer1[0].bn2.attention
    assert cbam.channel_attention.W_0.out_features == 8
    assert cbam.spatial_attention.conv.kernel_size == (3, 3)
    partial = quiet(tv.resnet18(), functools.partial(CBAM, hidden=5), "layer1.0.bn2")
    assert partial.layer1[0].bn2.attention.channel_attention.W_0.out_features == 5
    seen: list[int] = []

    def custom(channels: int) -> nn.Module:
        seen.append(channels)
        return nn.Identity()

    quiet(tv.resnet18(), custom, init=None)
    assert seen == [64, 64, 128, 128, 256, 256, 512, 512]


# ---- nothing is changed when something is wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (
            tv.resnet18,
            {"where": "layer9.*"},
            ValueError,
            r"^where='layer9\.\*' matches no module of ResNet; .*conv1, bn1",
        ),
        (tv.resnet18, {"where": ["layer1.0.bn2", "bn9"]}, ValueError, r"^where='bn9' matches no module"),
        (tv.resnet18, {"where": ["layer1.0.bn2", "relu"]}, ValueError, r"^cannot tell the channels after relu \(ReLU "),
        (tv.resnet18, {"reduction": 128}, ValueError, r"^channels=64 with reduction=128 leaves 0 hidden units"),
        (tv.resnet18, {"kernal_size": 3}, TypeError, r"kernal_size"),
        (tv.resnet18, {"attention": CBAM(64)}, TypeError, r"^attention is a module, built already: pass CBAM, not"),
        (
            tv.resnet18,
            {"attention": lambda c, init: None},
            TypeError,
            r"gave NoneType, not a module: pass CBAM, for example",
        ),
        (tv.vgg11, {}, ValueError, r"^no residual blocks .* in VGG: say where to insert, for example where='features'"),
    ],
)
def test_errors_name_the_fix_and_leave_the_network_alone(make, arguments: dict, error: type, message: str) -> None:
    with torch.device("meta"):
        network = make()
    before = list(network.state_dict())
    with pytest.raises(error, match=message):
        quiet(network, **arguments)
    assert list(network.state_dict()) == before


def test_a_second_insertion_is_refused() -> None:
    network = quiet(tv.resnet18(), CBAM)
    before = list(network.state_dict())
    for arguments in ({}, {"where": "layer1.0.bn2"}, {"where": "layer1"}, {"where": "layer1.0.bn2.layer"}):
        with pytest.raises(ValueError, match="already has attention: insert once, or name another place with where="):
            quiet(network, SqueezeExcitation, **arguments)
        assert list(network.state_dict()) == before


def test_blocks_that_were_built_with_attention_are_refused() -> None:
    network = resnet18(CBAM)
    names = list(network.state_dict())
    with pytest.raises(ValueError, match=r"layer1\.0 already has attention: insert once"):
        insert_attention(network, SqueezeExcitation)
    assert list(network.state_dict()) == names


def test_a_place_inside_another_place() -> None:
    """A stage and a norm in it: both get attention, whichever is replaced first."""
    network, lines = tv.resnet18().eval(), []
    x = images()
    before = network(x)
    insert_attention(network, SqueezeExcitation, ["layer1", "layer1.0.bn2"], report=lines.append)
    assert [line.split()[-1] for line in lines] == ["layer1", "layer1.0.bn2"]
    with record_attention(network) as maps:
        assert torch.equal(network(x), before)
    assert set(maps) == {"layer1.attention", "layer1.layer.0.bn2.attention"}


# ---- afterwards it is an ordinary network ---------------------------------------------------------------------------


def test_copies_and_files() -> None:
    network, x = quiet(tv.resnet18(), CBAM).eval(), images()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.01 * torch.rand_like(p))
    expected = network(x)
    assert torch.equal(copy.deepcopy(network)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), expected)
    fresh = quiet(tv.resnet18(), CBAM).eval()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(x), expected)


def test_old_weights_stand_under_layer() -> None:
    network = tv.resnet18()
    before = network.state_dict()
    after = quiet(network, CBAM).state_dict()
    moved = {re.sub(r"(layer\d\.\d\.bn2)\.", r"\1.layer.", key): value for key, value in before.items()}
    assert all(torch.equal(after[key], value) for key, value in moved.items())
    assert all(".attention." in key for key in after.keys() - moved.keys())


def test_compiles_to_one_graph() -> None:
    torch.compiler.reset()
    network, x = quiet(tv.resnet18(), CBAM).eval(), images()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)


def test_how_far_an_output_moved() -> None:
    before, after = (torch.tensor([3.0, 4.0]), "a word"), (torch.tensor([3.0, 5.0]), "a word")
    assert moved(before, after) == 1 / 5
    assert moved({"logits": torch.zeros(2)}, {"logits": torch.zeros(2)}) == 0  # of nothing, nothing moved
    assert moved(torch.zeros(2), torch.ones(2)) == 1  # and whatever did, moved by all of it
