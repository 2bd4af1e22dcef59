"""Recorded gates are the gates, under names that can be found, and the model is left as it was."""

import warnings

import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    AttentionMaps,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
    insert_attention,
    record_attention,
)
from cbam_lite.networks.recording import is_spatial


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), CBAM(16, 4), nn.ReLU(), SqueezeExcitation(16, 4)).eval()


def images(batch: int = 2, size: int = 9) -> Tensor:
    return torch.randn(batch, 3, size, size)


def hooks(model: nn.Module) -> int:
    """What listens to the modules of a model, or to all modules."""
    own = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    everywhere = nn.modules.module
    return own + len(everywhere._global_forward_hooks) + len(everywhere._global_forward_pre_hooks)


# ---- what is recorded -----------------------------------------------------------------------------------------------


def test_names_and_shapes(model: nn.Module) -> None:
    with record_attention(model) as maps:
        model(images())
    assert {name: tuple(gate.shape) for name, gate in maps.items()} == {
        "1.channel_attention": (2, 16),
        "1.spatial_attention": (2, 7, 7),
        "3": (2, 16),
    }
    assert list(maps.channel) == ["1.channel_attention", "3"]
    assert list(maps.spatial) == ["1.spatial_attention"]
    assert isinstance(maps, AttentionMaps)
    assert len(maps) == 3


def test_values_are_those_of_the_attention_methods(model: nn.Module) -> None:
    x = images()
    with record_attention(model) as maps:
        y = model(x)
    F = model[0](x)
    M_c = model[1].channel_attention.attention(F)
    M_s = model[1].spatial_attention.attention(M_c * F)
    torch.testing.assert_close(maps["1.channel_attention"], M_c[:, :, 0, 0])
    torch.testing.assert_close(maps["1.spatial_attention"], M_s[:, 0])
    torch.testing.assert_close(maps["3"], model[3].attention(model[:3](x))[:, :, 0, 0])
    assert torch.equal(model(x), y)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (SqueezeExcitation(16, 4), (2, 16)),
        (EfficientChannelAttention(16), (2, 16)),
        (SpatialAttention(16), (2, 5, 1)),
    ],
)
def test_a_module_by_itself_is_named_after_its_class(module: nn.Module, shape: tuple[int, ...]) -> None:
    with record_attention(module) as maps:
        module(torch.randn(2, 16, 5, 1))
    assert {name: tuple(gate.shape) for name, gate in maps.items()} == {type(module).__name__: shape}


def test_a_map_one_channel_wide_is_not_taken_for_a_spatial_gate() -> None:
    module = SqueezeExcitation(1, hidden=1)
    with record_attention(module) as maps:
        module(torch.randn(2, 1, 4, 4))
    assert maps.channel["SqueezeExcitation"].shape == (2, 1)
    assert maps.spatial == {}


@pytest.mark.parametrize("order", ["channel-first", "spatial-first", "parallel"])
def test_both_gates_are_recorded_in_every_order(order: str) -> None:
    cbam = CBAM(16, 4, order=order)
    with record_attention(cbam) as maps:
        cbam(torch.randn(2, 16, 5, 5))
    assert set(maps) == {"channel_attention", "spatial_attention"}


@pytest.mark.parametrize("order", ["channel-first", "parallel"])
def test_no_spatial_gate_is_no_recorded_gate(order: str) -> None:
    cbam = CBAM(16, 4, spatial_pool="none", order=order)
    with record_attention(cbam) as maps:
        cbam(torch.randn(2, 16, 5, 5))
    assert list(maps) == ["channel_attention"]


def test_an_inserted_resnet_by_name() -> None:
    network = insert_attention(tv.resnet18(), CBAM, report=None)
    with record_attention(network) as maps:
        network(torch.randn(2, 3, 64, 64))
    assert len(maps.channel) == len(maps.spatial) == 8
    assert maps.spatial["layer4.1.bn2.attention.spatial_attention"].shape == (2, 2, 2)


def test_several_passes_are_joined_along_the_batch(model: nn.Module) -> None:
    first, second = images(2), images(3)
    with record_attention(model) as maps:
        model(first)
        model(second)
    with record_attention(model) as together:
        model(torch.cat([first, second]))
    assert maps.keys() == together.keys()
    for name, gate in maps.items():
        torch.testing.assert_close(gate, together[name])


def test_a_module_that_runs_twice_in_one_pass_is_counted() -> None:
    se = SqueezeExcitation(16, 4)
    model = nn.Sequential(se, nn.ReLU(), se)
    x = torch.randn(2, 16, 5, 5)
    with record_attention(model) as maps:
        model(x)
        model(x)
    assert {name: tuple(gate.shape) for name, gate in maps.items()} == {"0": (4, 16), "0@2": (4, 16)}
    torch.testing.assert_close(maps["0@2"][:2], se.attention(se(x).relu())[:, :, 0, 0])


def test_the_maps_stay_after_the_block_and_know_what_is_missing(model: nn.Module) -> None:
    with record_attention(model) as maps:
        with pytest.raises(KeyError, match="recorded: none, run the model"):
            maps["3"]
        model(images())
    with pytest.raises(
        KeyError, match=r"no gate was recorded under 'layer1'; recorded: 1.channel_attention, 1.spatial"
    ):
        maps["layer1"]
    assert "layer1" not in maps
    assert "3" in maps


def test_sizes_that_differ_are_named(model: nn.Module) -> None:
    with record_attention(model) as maps:
        model(images(size=9))
        model(images(size=11))
    assert maps["3"].shape == (4, 16)  # a channel gate has no size
    with pytest.raises(ValueError, match=r"maps of several sizes, \[\(2, 7, 7\), \(2, 9, 9\)\]: record one size at"):
        maps["1.spatial_attention"]
    assert "1.spatial_attention" in maps  # the names can be asked for all the same


# ---- the model is left as it was ------------------------------------------------------------------------------------


def test_hooks_are_gone_after_the_block_and_after_an_error(model: nn.Module) -> None:
    with record_attention(model):
        assert hooks(model) == 2  # one that listens to gates and one to passes, both outside of the model
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="stop"), record_attention(model):
        raise RuntimeError("stop")
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), record_attention(model):
        model(torch.randn(2, 5, 9, 9))  # the convolution wants 3 channels
    assert hooks(model) == 0


def test_nothing_is_recorded_outside_the_block(model: nn.Module) -> None:
    with record_attention(model) as maps:
        model(images(2))
    model(images(3))
    assert maps["3"].shape == (2, 16)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_not_touched(model: nn.Module, training: bool) -> None:
    model.train(training)
    with record_attention(model):
        model(images())
    assert all(module.training == training for module in model.modules())


def test_recordings_nest(model: nn.Module) -> None:
    with record_attention(model) as outer:
        model(images(2))
        with record_attention(model) as inner:
            model(images(3))
        model(images(1))
    assert outer["3"].shape == (6, 16)
    assert inner["3"].shape == (3, 16)
    assert hooks(model) == 0


# ---- gradients ------------------------------------------------------------------------------------------------------


def test_gates_are_off_the_graph_unless_told_otherwise(model: nn.Module) -> None:
    with record_attention(model) as maps:
        model(images())
    assert not any(gate.requires_grad for gate in maps.values())
    with record_attention(model, detach=False) as maps:
        model(images())
    sum(gate.mean() for gate in maps.values()).backward()
    assert model[1].spatial_attention.conv.weight.grad.any()
    assert model[3].W_1.weight.grad.any()


# ---- wrappers -------------------------------------------------------------------------------------------------------


def test_a_compiled_model_is_recorded(model: nn.Module) -> None:
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    x = images()
    y = compiled(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PyTorch warns of hooks beside compiled modules; ours do no harm
        filters = list(warnings.filters)
        with record_attention(compiled) as maps:
            recorded = compiled(x)
        assert warnings.filters == filters
    with record_attention(model) as expected:
        model(x)
    assert list(maps) == list(expected)
    for name in maps:
        torch.testing.assert_close(maps[name], expected[name])
    torch.testing.assert_close(recorded, y)
    torch.testing.assert_close(compiled(x), y)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_model_with_a_compiled_part_is_recorded(model: nn.Module, in_place: bool) -> None:
    """Compiled earlier, with `torch.compile(part)` or `part.compile()`, and inside a larger model."""
    torch.compiler.reset()
    x = images()
    with record_attention(model) as expected:
        model(x)
    if in_place:
        model.compile(backend="aot_eager")
    whole = nn.Sequential(model if in_place else torch.compile(model, backend="aot_eager"))
    whole(x)
    with record_attention(whole) as maps:
        whole(x)
    assert [name.split(".", 1)[1].removeprefix("_orig_mod.") for name in maps] == list(expected)
    for gate, wanted in zip(maps.values(), expected.values(), strict=True):
        torch.testing.assert_close(gate, wanted)


def test_data_parallel_is_refused(model: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"DataParallel runs copies.*record model\.module instead"):
        record_attention(nn.DataParallel(model)).__enter__()


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^ResNet contains no attention of cbam_lite: .*insert_attention\(model, CBAM"
    ):
        record_attention(tv.resnet18()).__enter__()


@pytest.mark.parametrize("gate", [torch.zeros(2, 1, 4), (torch.zeros(2, 1, 4, 4),), None])
def test_what_has_no_gates_shape_is_named(gate: object) -> None:
    """Three axes, or no tensor at all."""
    with pytest.raises(ValueError, match=r"^mine gives .*, which is no gate: expected \(B, C, 1, 1\), \(B, C\) or"):
        is_spatial("mine", nn.Identity(), gate)  # type: ignore[arg-type]
