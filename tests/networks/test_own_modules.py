"""Attention modules of others: inserted as the identity, never twice, recorded, and nothing left behind."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from cbam_lite import CBAM, SpatialAttention, SplitAttention, SqueezeExcitation, insert_attention, record_attention
from cbam_lite import resnet18 as our_resnet18
from cbam_lite.attention.parts import Gate
from cbam_lite.networks.insertion import Blend


class Mine(nn.Module):
    """A student's channel gate, with a method as ours have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def attention(self, F: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(F.mean((2, 3))))[:, :, None, None]

    def forward(self, F: Tensor) -> Tensor:
        return F * self.attention(F)


class Heir(Mine):
    """Inherits the method."""


class Louder(Mine):
    """Calls the method that it replaces."""

    def attention(self, F: Tensor) -> Tensor:
        return 2 * super().attention(F)


class Place(nn.Module):
    """A student's spatial gate that ends in a `Gate` of ours, under this name or another."""

    def __init__(self, channels: int, name: str = "gate") -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)
        self.name = name
        self.add_module(name, Gate())

    def forward(self, F: Tensor) -> Tensor:
        return F * self.get_submodule(self.name)(self.conv(F))


class Outside(nn.Module):
    """As many repositories have it: the module gives the gate, the block multiplies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())
        self.sa = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, F: Tensor) -> Tensor:
        F = F * self.ca(F)
        return F * self.sa(F)


def network(attention: type[nn.Module] | None = None) -> nn.Module:
    """Two residual blocks, small."""
    torch.manual_seed(0)
    net = our_resnet18(attention, planes=8, num_classes=2, stem="small").eval()
    return nn.Sequential(net.conv1, net.layer1)


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 6, 5)


# ---- inserted -------------------------------------------------------------------------------------------------------


def test_blend_starts_as_the_identity_and_learns() -> None:
    model, x, lines = network(), images(), []
    before = model(x)
    insert_attention(model, Mine, init="blend", example=x, report=lines.append)
    assert torch.equal(model(x), before)
    assert lines == [f"Mine for 8 channels after 1.{block}.bn2" for block in (0, 1)]
    blend = model[1][0].bn2.attention
    assert isinstance(blend, Blend)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for step in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        assert blend.a.grad.abs() > 0
        assert blend.module.fc.weight.grad.any() == (step > 0)
        optimizer.step()
    with torch.no_grad():
        blend.a.fill_(1)
        F = torch.randn(1, 8, 4, 4)
        torch.testing.assert_close(blend(F), blend.module(F))


def test_a_module_without_init_is_told_about_blend() -> None:
    model = network()
    names = list(model.state_dict())
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'init': .* use init='blend' \(or None\)$"):
        insert_attention(model, Mine, report=None)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'kernels'$"):
        insert_attention(model, CBAM, report=None, kernels=3)
    with pytest.raises(ValueError, match=r"^init='blended' is not one of .*; did you mean 'blend'\?$"):
        insert_attention(model, Mine, init="blended", report=None)
    assert list(model.state_dict()) == names


def test_an_output_that_moved_is_told_with_the_number() -> None:
    x, lines = images(), []
    before = network()(x)
    model = insert_attention(network(), Mine, init=None, example=x, report=lines.append)
    share = ((model(x) - before).norm() / before.norm()).item()
    assert share > 0.01
    assert lines[-1].startswith(f"the output for the example moved by {100 * share:.2g} % of its norm: init='identity'")
    insert_attention(network(), Mine, init=None, report=lines.append)
    assert lines[-1] == "init=None may move the output: example=... tells by how much, init='blend' keeps it"
    insert_attention(network(), SqueezeExcitation, hidden=2, example=x, report=lines.append)
    assert lines[-1].startswith("SqueezeExcitation for 8")


def test_an_output_that_broke_is_told() -> None:
    class Broken(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()

        def forward(self, F: Tensor) -> Tensor:
            return F / 0

    lines: list[str] = []
    insert_attention(network(), Broken, init=None, example=images(), report=lines.append)
    assert "moved by nan %" in lines[-1]


@pytest.mark.parametrize("init", [None, "blend"])
def test_a_second_insertion_is_refused_for_others_too(init: str | None) -> None:
    model = insert_attention(network(), Mine, init=init, report=None)
    names = list(model.state_dict())
    for where in (None, "1.0.bn2", "1.0", "1", "1.0.bn2.layer", "1.0.bn2.attention"):
        with pytest.raises(ValueError, match="already has attention: insert once"):
            insert_attention(model, Mine, where, init=init, report=None)
        assert list(model.state_dict()) == names


def test_a_place_that_is_named_twice_gets_one() -> None:
    model, lines = network(), []
    insert_attention(model, Mine, ["1.0.bn2", "1.0.bn2", "1.*.bn2"], init="blend", report=lines.append)
    assert [line.split()[-1] for line in lines] == ["1.0.bn2", "1.1.bn2"]
    assert sum(isinstance(module, Mine) for module in model.modules()) == 2


class Stop(Exception):
    pass


def stop(_line: str) -> None:
    raise Stop


class Fails(Mine):
    def forward(self, F: Tensor) -> Tensor:
        raise Stop


@pytest.mark.parametrize("arguments", [{"attention": Mine, "report": stop}, {"attention": Fails, "report": None}])
@pytest.mark.parametrize("where", [None, ["1", "1.0.bn2", "1.1"]])
def test_whatever_goes_wrong_the_model_is_as_it_was(arguments: dict, where: list[str] | None) -> None:
    model, x = network(), images()
    before, modules = model(x), dict(model.named_modules())
    with pytest.raises(Stop):
        insert_attention(model, where=where, init=None, example=x, **arguments)
    assert dict(model.named_modules()) == modules
    assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "resnet18"}, TypeError, r"^model must be a torch\.nn\.Module, got 'resnet18' of type str$"),
        ({"model": None}, TypeError, r"^model must be a torch\.nn\.Module, got None of type NoneType$"),
        (
            {"attention": "CBAM"},
            TypeError,
            r"^attention='CBAM' of type str cannot make a module: pass a class such as C",
        ),
        ({"attention": None}, TypeError, r"^attention=None of type NoneType cannot make a module"),
        ({"where": []}, TypeError, r"^where=\[\] must be a name or a list of names, as in model\.named_modules\(\)"),
        ({"where": ""}, ValueError, r"^where='' matches no module of Sequential"),
        ({"where": 3}, TypeError, r"^where=3 must be a name or a list of names"),
        ({"where": ["1.0.bn2", None]}, TypeError, r"^where=\['1\.0\.bn2', None\] must be a name or a list of names"),
    ],
)
def test_hostile_arguments_are_named(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        insert_attention(**({"model": network(), "report": None} | arguments))


# ---- recorded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attention", "loud"), [(Mine, 1), (Heir, 1), (Louder, 2)])
def test_a_method_attention_is_recorded(attention: type[Mine], loud: int) -> None:
    model, x = insert_attention(network(), attention, init=None, report=None), images()
    mine = model[1][0].bn2.attention
    before = [vars(kind).get("attention") for kind in (Mine, Heir, Louder)]
    for _ in range(2):
        with record_attention(model, detach=False) as maps:
            y = model(x)
        assert list(maps) == list(maps.channel) == ["1.0.bn2.attention", "1.1.bn2.attention"]
        gate = maps["1.0.bn2.attention"]
        block = model[1][0]
        F = block.bn2.layer(block.conv2(block.relu(block.bn1(block.conv1(model[0](x))))))
        torch.testing.assert_close(gate, loud * torch.sigmoid(mine.fc(F.mean((2, 3)))))
        assert gate.requires_grad
        assert torch.equal(model(x), y)
    assert [vars(kind).get("attention") for kind in (Mine, Heir, Louder)] == before


def test_an_heir_beside_its_parent_is_recorded_once() -> None:
    model = nn.Sequential(Mine(4), Louder(4), Heir(4))
    with record_attention(model) as maps:
        model(torch.randn(2, 4, 3, 3))
    assert {name: tuple(gate.shape) for name, gate in maps.items()} == {"0": (2, 4), "1": (2, 4), "2": (2, 4)}
    assert maps["1"].max() > 1


def test_a_blended_module_is_recorded() -> None:
    model = insert_attention(network(), Mine, "1.0.bn2", init="blend", report=None)
    with record_attention(model) as maps:
        model(images())
    assert list(maps) == ["1.0.bn2.attention.module"]


@pytest.mark.parametrize(("name", "recorded"), [("gate", "0"), ("sigma", "0.sigma")])
def test_the_shape_decides_of_what_kind_a_gate_of_others_is(name: str, recorded: str) -> None:
    model, F = nn.Sequential(Place(4, name)), torch.randn(2, 4, 3, 5)
    with record_attention(model) as maps:
        y = model(F)
    assert maps.channel == {}
    assert {name: tuple(gate.shape) for name, gate in maps.spatial.items()} == {recorded: (2, 3, 5)}
    torch.testing.assert_close(F * maps[recorded][:, None], y)


def test_modules_of_ours_are_sorted_by_what_they_are() -> None:
    """(B, 1, 1, 1) may be both: of a map of one place, or of one channel."""
    model = nn.Sequential(SpatialAttention(4, bn=False), SqueezeExcitation(4, hidden=2), Place(4))
    with record_attention(model) as maps:
        model(torch.randn(2, 4, 1, 1))
    assert maps.spatial["0"].shape == (2, 1, 1)
    assert maps.channel["1"].shape == (2, 4)
    assert maps.channel["2"].shape == (2, 1)  # as the docstring says


def test_outputs_are_recorded_by_name() -> None:
    model, F = nn.Sequential(Outside(4)), torch.randn(2, 4, 3, 5)
    with pytest.raises(ValueError, match=r"contains no attention of cbam_lite: .*name what gives the gate with gates="):
        record_attention(model).__enter__()
    with record_attention(model, gates="0.?a") as maps:
        y = model(F)
    assert list(maps.channel) == ["0.ca"]
    assert list(maps.spatial) == ["0.sa"]
    torch.testing.assert_close(F * maps["0.ca"][:, :, None, None] * maps["0.sa"][:, None], y)
    with pytest.raises(ValueError, match=r"^gates='0\.za' matches no module of Sequential"):
        record_attention(model, gates=["0.ca", "0.za"]).__enter__()


def test_what_is_no_gate_is_an_error_where_it_was_named_and_left_out_where_not() -> None:
    model = nn.Sequential(SplitAttention(4, 4), SqueezeExcitation(4, hidden=2)).eval()
    F = torch.randn(2, 4, 3, 5)
    with record_attention(model) as maps:
        model(F)
    assert list(maps) == ["1"]  # split attention gives (B, R, C)
    with (
        record_attention(model, gates="0.conv") as maps,
        pytest.raises(
            ValueError, match=r"^0\.conv gives \(2, 8, 3, 5\), which is no gate: expected \(B, C, 1, 1\), \(B, C\)"
        ),
    ):
        model(F)


def test_a_flat_gate_is_one_of_channels() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Sigmoid())
    with record_attention(model, gates="2") as maps:
        gate = model(torch.randn(2, 4, 1, 1))
    assert torch.equal(maps.channel["2"], gate)


# ---- nothing is left behind -----------------------------------------------------------------------------------------


def test_a_copy_made_while_recording_is_clean() -> None:
    model, x = nn.Sequential(CBAM(4, 2), Mine(4)), torch.randn(2, 4, 3, 5)
    with record_attention(model) as maps:
        twin, file = copy.deepcopy(model), io.BytesIO()
        torch.save(model, file)
        model(x)
        twin(x)
        twin(x)
    assert {name: len(gate) for name, gate in maps.items()} == {
        "0.channel_attention": 2,
        "0.spatial_attention": 2,
        "1": 2,
    }
    for module in (*twin.modules(), *model.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "attention" not in vars(module)


def test_recordings_of_two_models_stay_apart() -> None:
    first, second, x = nn.Sequential(Mine(4)), nn.Sequential(Mine(4)), torch.randn(2, 4, 3, 5)
    with record_attention(first) as one, record_attention(second) as two:
        first(x)
        second(x)
        first(x)
    assert (len(one["0"]), len(two["0"])) == (4, 2)
    assert not hasattr(Mine.attention, "__wrapped__")


@pytest.mark.parametrize("transform", [torch.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
@pytest.mark.parametrize("make", [lambda: CBAM(4, 2), lambda: Mine(4)])
def test_transforms_of_torch_func_are_refused(transform, make) -> None:
    model = make().eval()
    shape = (3, 2, 4, 3, 5) if transform is torch.vmap else (2, 4, 3, 5)
    with (
        record_attention(model),
        pytest.raises(RuntimeError, match=r"inside a transform of torch\.func.*record outside"),
    ):
        transform(model)(torch.randn(shape))


def test_data_parallel_inside_a_model_is_refused() -> None:
    with pytest.raises(TypeError, match=r"DataParallel runs copies"):
        record_attention(nn.Sequential(nn.DataParallel(Mine(4)))).__enter__()


@pytest.mark.parametrize("model", ["resnet18", None, 3])
def test_what_is_no_model_is_refused(model: object) -> None:
    with pytest.raises(TypeError, match=r"^model must be a torch\.nn\.Module, got"):
        record_attention(model).__enter__()
