"""`fuse`, `unfuse`, `why_not` and `use_fused` as a newcomer meets them, on any machine, with no kernel run."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    SqueezeExcitation,
    fuse,
    insert_attention,
    record_attention,
    resnet18,
    resnet50,
    unfuse,
    use_fused,
    why_not,
)
from cbam_lite.networks.resnet import BasicBlock, ResNet
from cbam_lite.speed import fused, reasons

OPTIONS = {"planes": 16, "stem": "small", "num_classes": 3}


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: a reason in the map, the caller or the module is found; whether Triton runs is not asked."""
    monkeypatch.setattr(reasons, "DEVICES", ("cuda", "cpu"))
    monkeypatch.setattr(reasons, "of_device", lambda index: None)


def fused_resnet() -> ResNet:
    return fuse(resnet18(CBAM, **OPTIONS), report=None).eval()


def map_4d(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 16, 6, 5, dtype=dtype)


# ---- the report ------------------------------------------------------------------------------------------------------


class OwnBlock(BasicBlock):
    """A class of a user's own, whose forward pass may be another."""


def test_the_report_says_which_blocks_are_left_and_why() -> None:
    model, lines = resnet18(CBAM, **OPTIONS), []
    model.layer1[0].__class__ = OwnBlock
    model.layer1[1].relu = nn.SiLU()
    fuse(model, report=lines.append)
    assert lines[:3] == [
        "layer1.0.attention: CBAM is fused, alone: its block is a OwnBlock, whose forward pass may be another",
        "layer1.1.attention: CBAM is fused, alone: its block ends in SiLU, not in a ReLU",
        "layer2.0.attention: CBAM is fused, with the addition and the ReLU of its block",
    ]
    assert type(model.layer1[0]) is OwnBlock


def test_a_hook_keeps_nobody_from_fusing() -> None:
    """Hooks come and go; each call looks for them anew."""
    module, lines = CBAM(16, 4), []
    handle = module.register_forward_hook(lambda *_: None)
    fuse(module, report=lines.append)
    handle.remove()
    assert lines == ["CBAM: CBAM is fused"]
    assert type(module) is fused.FusedCBAM


def test_blocks_that_share_an_attention_are_all_fused() -> None:
    model, lines = resnet18(CBAM, **OPTIONS), []
    model.layer1[1].attention = model.layer1[0].attention
    fuse(model, report=lines.append)
    assert type(model.layer1[0]) is type(model.layer1[1]) is fused.FusedBasicBlock
    assert lines[0] == "layer1.0.attention: CBAM is fused, with the addition and the ReLU of its block"
    assert lines[1].startswith("layer2.0")


@pytest.mark.parametrize("change", [fuse, unfuse])
def test_what_is_no_module_is_refused(change) -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got"):
        change({"layer1": CBAM(16)})


def test_the_report_is_the_same_the_second_time() -> None:
    first, second = [], []
    fuse(fuse(resnet50(SqueezeExcitation, **OPTIONS), report=first.append), report=second.append)
    assert len(first) == 16
    assert first == second


@pytest.mark.usefixtures("everywhere")
def test_a_block_sends_to_its_attention() -> None:
    block = fused_resnet().layer1[0]
    assert "BasicBlock has no fused kernels of its own: ask its attention" in why_not(block, map_4d())
    assert why_not(block.attention, map_4d()) is None


# ---- in and out ------------------------------------------------------------------------------------------------------


class Plain(CBAM):
    """A class of a user's own with a word in it that ours might use."""

    plain = True


def test_unfuse_gives_back_the_very_classes() -> None:
    for make in (resnet18, resnet50):
        model = make(CBAM, **OPTIONS)
        model.layer1[0].attention = Plain(16)
        model.layer1[1].__class__ = type("Own", (type(model.layer1[1]),), {})
        model.layer2[0].attention = SqueezeExcitation(32)
        before = [type(module) for module in model.modules()]
        fuse(model, report=None)
        assert [type(module) for module in model.modules()] != before
        assert [type(module) for module in unfuse(model).modules()] == before
        assert [type(module) for module in unfuse(model).modules()] == before


def test_a_fused_model_is_what_it_was() -> None:
    """In copies, pickles, state dicts, for `isinstance`, and in its numbers."""
    plain = resnet18(CBAM, **OPTIONS).eval()
    model, image = fuse(copy.deepcopy(plain), report=None), torch.rand(1, 3, 16, 16)
    expected = plain(image)
    assert isinstance(model.layer1[0], BasicBlock)
    assert isinstance(model.layer1[0].attention, CBAM)
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(image), expected)
        assert "FusedCBAM" in repr(other)
        plain.load_state_dict(other.state_dict())
    model.load_state_dict(plain.state_dict())
    assert torch.equal(unfuse(pickle.loads(pickle.dumps(model)))(image), expected)


def test_gates_of_a_fused_block_are_recorded() -> None:
    block, x = fused_resnet().layer1[0], map_4d()
    with record_attention(block) as found:
        block(x)
    with record_attention(unfuse(block)) as expected:
        block(x)
    assert [*found] == [*expected] == ["attention.channel_attention", "attention.spatial_attention"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_attention_is_inserted_into_a_fused_network_as_into_any() -> None:
    model = fused_resnet()
    with pytest.raises(ValueError, match=r"layer1.0 already has attention: insert once"):
        insert_attention(model, SqueezeExcitation)
    image = torch.rand(1, 3, 16, 16)
    expected, lines = model(image), []
    insert_attention(model, SqueezeExcitation, where="bn1", report=None)
    assert torch.equal(model(image), expected)
    fuse(model, report=lines.append)
    assert lines[0] == "bn1.attention: SqueezeExcitation is fused"


def test_a_fused_block_compiles_to_one_graph_on_a_cpu() -> None:
    torch.compiler.reset()
    block, x = fused_resnet().layer1[0], map_4d()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), block(x))


# ---- reasons ---------------------------------------------------------------------------------------------------------

HOOKS = {
    "forward": lambda part: part.register_forward_hook(lambda *_: None),
    "before forward": lambda part: part.register_forward_pre_hook(lambda *_: None),
    "backward": lambda part: part.register_full_backward_hook(lambda *_: None),
    "before backward": lambda part: part.register_full_backward_pre_hook(lambda *_: None),
    "everywhere": lambda _: nn.modules.module.register_module_forward_hook(lambda *_: None),
    "everywhere, before forward": lambda _: nn.modules.module.register_module_forward_pre_hook(lambda *_: None),
    "everywhere, backward": lambda _: nn.modules.module.register_module_full_backward_hook(lambda *_: None),
    "everywhere, before backward": lambda _: nn.modules.module.register_module_full_backward_pre_hook(lambda *_: None),
}


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("place", ["", "channel_attention.gate", "channel_attention.W_1", "spatial_attention"])
@pytest.mark.parametrize("spatial_pool", ["avg+max", "none"])
@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_respected(hook: str, spatial_pool: str, place: str) -> None:
    module = fuse(CBAM(16, 4, spatial_pool=spatial_pool), report=None)
    assert why_not(module, map_4d()) is None
    handle = HOOKS[hook](module.get_submodule(place))
    try:
        assert "a hook on CBAM or one of its parts" in why_not(module, map_4d())
    finally:
        handle.remove()
    assert why_not(module, map_4d()) is None


@pytest.mark.usefixtures("everywhere")
def test_a_forward_that_was_set_on_a_part_is_respected() -> None:
    module = fuse(CBAM(16, 4), report=None)
    module.spatial_attention.forward = lambda F: F
    assert "or a forward set there" in why_not(module, map_4d())
    del module.spatial_attention.forward
    assert why_not(module, map_4d()) is None


@pytest.mark.usefixtures("everywhere")
def test_a_norm_without_weights_is_left_as_written() -> None:
    module = fuse(CBAM(16, 4), report=None)
    module.spatial_attention.norm = nn.BatchNorm2d(1, affine=False)
    assert why_not(module, map_4d()) == "a part of the spatial gate was replaced"


@pytest.mark.usefixtures("everywhere")
def test_a_shortcut_that_does_not_fit_is_left_as_written() -> None:
    module, F = fuse(CBAM(16, 4), report=None), map_4d()
    assert why_not(module, F, F) is None
    assert (
        why_not(module, F, F.double())
        == "the shortcut is (2, 16, 6, 5) torch.float64, the map (2, 16, 6, 5) torch.float32"
    )
    assert "the shortcut is" in why_not(module, F, F[:1])
    assert "the shortcut is" in why_not(module, F, F.to("meta"))


def test_an_image_of_two_to_the_31_numbers_is_one_too_many() -> None:
    shapes = [(2**31,), (2, 2**30), (2**15, 2, 2**15)]
    for shape in shapes:
        image = torch.empty(1, *(1,) * (3 - len(shape)), *shape, device="meta")
        assert "one image has 2,147,483,648 numbers" in reasons.of_map(image, None)
    most = torch.empty(1, 1, 1, 2**31 - 1, device="meta")
    assert reasons.of_map(most, None) is None
    assert reasons.of_map(torch.empty(4, 1, 1, 2**30, device="meta"), None) is None, "the batch is not counted"


# ---- the switch ------------------------------------------------------------------------------------------------------


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "switched_on", True)  # and back, whatever the test leaves


@pytest.mark.usefixtures("switch")
def test_the_switch_goes_back_to_what_was_there_before() -> None:
    use_fused(False)
    with use_fused(False):
        assert not fused.switched_on
    assert not fused.switched_on, "it was off before"
    with use_fused(True):
        assert fused.switched_on
    assert not fused.switched_on
    with pytest.raises(ZeroDivisionError), use_fused(True):
        1 / 0  # noqa: B018
    assert not fused.switched_on


@pytest.mark.usefixtures("switch")
def test_one_switch_used_twice_goes_back_each_time() -> None:
    off = use_fused(False)
    with off, off:
        pass
    assert fused.switched_on
    use_fused(False)
    with off:
        assert not fused.switched_on
    assert not fused.switched_on, "it was off before the second use"
    use_fused(True)
    with off:
        assert not fused.switched_on
    assert fused.switched_on
