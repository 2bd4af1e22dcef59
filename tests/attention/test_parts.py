"""The small parts: pools, gates, scaling, initial values, and every check's message."""

import numpy as np
import pytest
import reference
import torch

from cbam_lite import CBAM, ChannelAttention, EfficientChannelAttention, SpatialAttention, SqueezeExcitation
from cbam_lite.attention.inputs import hidden_units
from cbam_lite.attention.parts import GATES, IDENTITY_GATES, POOLS, Gate, he_normal, pool_names, scale

MODULES = [SqueezeExcitation, EfficientChannelAttention, ChannelAttention, SpatialAttention, CBAM]

# ---- pools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(1,), (2, 3)])
@pytest.mark.parametrize("name", POOLS)
def test_pools_agree_with_numpy(name: str, axes: tuple[int, ...]) -> None:
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    pooled = POOLS[name](x, axes)
    np.testing.assert_allclose(pooled.squeeze(axes).numpy(), reference.pool(x.numpy(), name, axes), rtol=1e-12)


@pytest.mark.parametrize("axes", [(1,), (2, 3)])
@pytest.mark.parametrize("name", POOLS)
def test_pools_of_an_all_zero_map_have_finite_gradients(name: str, axes: tuple[int, ...]) -> None:
    x = torch.zeros(2, 3, 4, 5, requires_grad=True)
    POOLS[name](x, axes).sum().backward()
    assert x.grad.isfinite().all()


def test_maximum_shares_its_gradient_between_ties() -> None:
    x = torch.tensor([[[[1.0, 3.0], [3.0, 0.0]]]], requires_grad=True)
    POOLS["max"](x, (2, 3)).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0.5, 0.5, 0]


@pytest.mark.parametrize("name", POOLS)
def test_pools_survive_large_float16_maps(name: str) -> None:
    """The sum of 10 over 112 x 112 is 125440, above float16's largest 65504; so is the sum of squares."""
    x = torch.full((1, 2, 112, 112), 10.0, dtype=torch.float16)
    expected = reference.pool(x.double().numpy(), name, (2, 3))
    np.testing.assert_allclose(POOLS[name](x, (2, 3)).flatten(1).double().numpy(), expected, rtol=2e-3)


def test_pool_names_keep_their_order() -> None:
    assert pool_names("max+avg") == ("max", "avg")
    assert pool_names("lse") == ("lse",)


# ---- gates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "init"), reference.GATES)
def test_gates_agree_with_numpy(function: str, init: str) -> None:
    z = torch.linspace(-6, 6, 49, dtype=torch.float64)
    expected = reference.GATES[function, init](z.numpy())
    np.testing.assert_allclose(Gate(function, init)(z).numpy(), expected, atol=1e-15)


def test_every_gate_is_tested() -> None:
    assert set(reference.GATES) == {(g, "default") for g in GATES} | {(g, "identity") for g in IDENTITY_GATES}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("function", IDENTITY_GATES)
def test_identity_gates_are_exactly_one_at_zero_with_a_slope(function: str, dtype: torch.dtype) -> None:
    z = torch.zeros(3, dtype=dtype, requires_grad=True)
    gate = Gate(function, "identity")(z)
    assert torch.equal(gate, torch.ones(3, dtype=dtype))
    gate.sum().backward()
    assert (z.grad > 0.3).all()


def test_gate_shows_its_function() -> None:
    assert repr(Gate("tanh", "identity")) == "Gate('tanh', init='identity')"


# ---- scaling --------------------------------------------------------------------------------------------------------


def test_scale_keeps_the_dtype_of_the_map() -> None:
    x, gate = torch.ones(2, 3, 4, 4, dtype=torch.float16), torch.full((2, 3, 1, 1), 0.5)
    assert scale(x, gate).dtype == torch.float16


# ---- initial values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (torch.nn.Linear(200, 300), 200),
        (torch.nn.Conv2d(8, 400, 5), 200),
        (torch.nn.Conv1d(40, 400, 5, bias=False), 200),
    ],
)
def test_he_normal_has_the_deviation_and_the_cut_of_keras(layer: torch.nn.Module, fan_in: int) -> None:
    he_normal(layer)
    std = (2 / fan_in) ** 0.5
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert abs(layer.weight.mean().item()) < 0.02 * std
    assert layer.weight.abs().max().item() <= 2 * std / 0.8796 * 1.0001
    assert layer.bias is None or not layer.bias.any()


# ---- checks on arguments --------------------------------------------------------------------------------------------


def test_hidden_units_by_ratio_number_and_share() -> None:
    assert hidden_units(64, 16, None) == 4
    assert hidden_units(40, 16, None) == 2  # floor
    assert hidden_units(64, 16, 7) == 7
    assert hidden_units(64, 16, 0.25) == 16
    assert hidden_units(10, 16, 0.37) == 3  # floor, too
    assert hidden_units(10, 16, 1.0) == 10  # a share, not a number
    assert hidden_units(3, 16, 1 / 3) == 1


@pytest.mark.parametrize("module", [SqueezeExcitation, ChannelAttention, CBAM])
def test_no_hidden_units_left_says_both_numbers_and_both_fixes(module: type) -> None:
    message = "channels=8 with reduction=16 leaves 0 hidden units: use reduction<=8 or hidden=1"
    with pytest.raises(ValueError, match=f"^{message}$"):
        module(8)
    module(8, 8), module(8, hidden=1)  # both proposals work


ARGUMENT_ERRORS = [
    (SqueezeExcitation, {"hidden": 0}, ValueError, r"^hidden=0 must be at least 1$"),
    (SqueezeExcitation, {"hidden": -3}, ValueError, r"^hidden=-3 must be at least 1$"),
    (SqueezeExcitation, {"hidden": True}, TypeError, r"^hidden must be a whole number, got True of type bool$"),
    (SqueezeExcitation, {"hidden": "4"}, TypeError, r"^hidden must be a whole number, got '4' of type str$"),
    (
        CBAM,
        {"hidden": 1.0 / 2000},
        ValueError,
        r"^hidden=0.0005 of channels=64 leaves 0 .* 1/64 = 0.01562, or hidden=1",
    ),
    (CBAM, {"reduction": 0}, ValueError, r"^reduction=0 must be at least 1$"),
    (CBAM, {"reduction": 16.0}, TypeError, r"^reduction must be a whole number, got 16.0 of type float$"),
    (CBAM, {"reduction": True}, TypeError, r"^reduction must be a whole number, got True of type bool$"),
    (CBAM, {"reduction": 128}, ValueError, r"^channels=64 with reduction=128 leaves 0.* reduction<=64 or hidden=1$"),
    (CBAM, {"kernel_size": 6}, ValueError, r"^kernel_size=6 is even.*use kernel_size=5 or 7$"),
    (CBAM, {"kernel_size": 0}, ValueError, r"^kernel_size=0 must be at least 1$"),
    (SpatialAttention, {"kernel_size": 7.0}, TypeError, r"^kernel_size must be a whole number, got 7.0 of type float$"),
    (EfficientChannelAttention, {"kernel_size": 4}, ValueError, r"^kernel_size=4 is even.*use kernel_size=3 or 5$"),
    (EfficientChannelAttention, {"gamma": 0}, ValueError, r"^gamma=0 divides by zero: the paper uses gamma=2$"),
    (CBAM, {"pool": "maxx"}, ValueError, r"^pool='maxx' is not made of 'avg', 'max', 'lse', 'lp' joined by '\+'$"),
    (CBAM, {"pool": "avg+"}, ValueError, r"^pool='avg\+' is not made of 'avg', 'max', 'lse', 'lp' joined by '\+'$"),
    (CBAM, {"pool": "avg,max"}, ValueError, r"^pool='avg,max' is not made of .* joined by '\+'$"),
    (ChannelAttention, {"pool": "conv"}, ValueError, r"^pool='conv' is not made of .* joined by '\+'$"),
    (
        CBAM,
        {"spatial_pool": "convv"},
        ValueError,
        r"^pool='convv' is not .*, nor 'conv' \(in CBAM: spatial_pool, or 'none'",
    ),
    (SpatialAttention, {"pool": "avg+conv"}, ValueError, r"^pool='avg\+conv' is not made of .*, nor 'conv'"),
    (SqueezeExcitation, {"pool": "avg+max"}, ValueError, r"^pool='avg\+max' is not one of 'avg', 'max', 'lse', 'lp'"),
    (CBAM, {"hidden": float("nan")}, ValueError, r"^hidden=nan must be a finite number$"),
    (CBAM, {"hidden": float("inf")}, ValueError, r"^hidden=inf must be a finite number$"),
    (CBAM, {"hidden": -0.5}, ValueError, r"^hidden=-0\.5 of channels=64 leaves -32 hidden units: use a share of at"),
    (CBAM, {"pool": None}, ValueError, r"^pool=None is not made of 'avg', 'max', 'lse', 'lp' joined by '\+'$"),
    (CBAM, {"pool": ["avg"]}, ValueError, r"^pool=\['avg'\] is not made of 'avg', 'max', 'lse', 'lp' joined by"),
    (CBAM, {"spatial_pool": None}, ValueError, r"^pool=None is not made of .*, nor 'conv' \(in CBAM: spatial_pool"),
    (CBAM, {"gate": None}, ValueError, r"^gate=None is not one of 'sigmoid', "),
    (CBAM, {"order": np.array(["parallel"])}, ValueError, r"^order=array\(\['parallel'\].* is not one of"),
    (CBAM, {"kernel_size": (7, 7)}, TypeError, r"^kernel_size must be a whole number, got \(7, 7\) of type tuple$"),
    (CBAM, {"kernel_size": "7"}, TypeError, r"^kernel_size must be a whole number, got '7' of type str$"),
    (CBAM, {"kernel_size": -3}, ValueError, r"^kernel_size=-3 must be at least 1$"),
    (EfficientChannelAttention, {"gamma": "2"}, TypeError, r"^gamma must be a number, got '2' of type str$"),
    (EfficientChannelAttention, {"gamma": None}, TypeError, r"^gamma must be a number, got None of type NoneType$"),
    (EfficientChannelAttention, {"gamma": True}, TypeError, r"^gamma must be a number, got True of type bool$"),
    (EfficientChannelAttention, {"b": float("nan")}, ValueError, r"^b=nan must be a finite number$"),
    (CBAM, {"gate": "sigmoidd"}, ValueError, r"^gate='sigmoidd' is not one of .*did you mean 'sigmoid'\?$"),
    (CBAM, {"order": "channel_first"}, ValueError, r"^order='channel_first' .*did you mean 'channel-first'\?$"),
    (CBAM, {"init": "identity!"}, ValueError, r"^init='identity!' .*did you mean 'identity'\?$"),
    (CBAM, {"gate": "relu", "init": "identity"}, ValueError, r"^gate='relu' cannot start as the identity.*'sigmoid'"),
]


@pytest.mark.parametrize(("module", "options", "error", "message"), ARGUMENT_ERRORS)
def test_a_wrong_argument_is_named_with_its_fix(module: type, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        module(64, **options)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("channels", "error", "message"),
    [
        (0, ValueError, "channels=0 must be at least 1"),
        (-4, ValueError, "channels=-4 must be at least 1"),
        ("64", TypeError, "channels must be a whole number, got '64' of type str"),
        (None, TypeError, "channels must be a whole number, got None of type NoneType"),
        (64.0, TypeError, "channels must be a whole number, got 64.0 of type float"),
        (True, TypeError, "channels must be a whole number, got True of type bool"),
    ],
)
def test_wrong_channels(module: type, channels: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        module(channels)


# ---- checks on maps -------------------------------------------------------------------------------------------------

MAP_ERRORS = [
    (torch.zeros(32, 6, 5), ValueError, r"got \(32, 6, 5\): add the batch dimension with x.unsqueeze\(0\)"),
    (torch.zeros(2, 32), ValueError, r"expected a map of shape \(B, C, H, W\), got \(2, 32\): reshape it"),
    (torch.zeros(2, 6, 5, 32), ValueError, r"channels=32, got C=6 in \(2, 6, 5, 32\).*use x.permute\(0, 3, 1, 2\)"),
    (torch.zeros(2, 16, 6, 5), ValueError, r"built for channels=32, got C=16 in \(2, 16, 6, 5\): build it for 16"),
    (torch.zeros(2, 32, 0, 5), ValueError, r"the map is empty: H=0, W=5 in \(2, 32, 0, 5\); pool or pad less"),
    (torch.zeros(2, 32, 6, 0), ValueError, r"the map is empty: H=6, W=0"),
    (torch.zeros(2, 32, 6, 5, dtype=torch.int64), TypeError, r"x is torch.int64 but.*use x.to\(torch.float32\)"),
    (torch.zeros(2, 32, 6, 5, dtype=torch.float64), TypeError, r"x is torch.float64.*use module.to\(torch.float64\)"),
    (torch.zeros(2, 32, 6, 5, dtype=torch.complex64), TypeError, r"x is torch.complex64 but the module"),
    ("map", TypeError, r"expected a torch.Tensor of shape \(B, C, H, W\), got str: use torch.as_tensor"),
    (None, TypeError, r"expected a torch.Tensor of shape \(B, C, H, W\), got NoneType"),
    (torch.zeros(6, 5), ValueError, r"expected a map of shape \(B, C, H, W\), got \(6, 5\): reshape it"),
    (np.zeros((2, 32, 6, 5)), TypeError, r"expected a torch.Tensor.*got ndarray: use torch.as_tensor"),
    (torch.zeros(2, 32, 6, 5, device="meta"), ValueError, r"x is on meta but the module is on cpu: use module.to"),
]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(("x", "error", "message"), MAP_ERRORS)
def test_a_map_that_does_not_fit_is_named_with_its_fix(module: type, x: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        module(32)(x)


@pytest.mark.parametrize("module", MODULES)
def test_whole_numbers_are_refused_under_autocast_too(module: type) -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=r"x is torch\.int64 but the module is"):
        module(32)(torch.zeros(2, 32, 6, 5, dtype=torch.int64))


@pytest.mark.parametrize("module", [SpatialAttention, CBAM])
def test_a_single_place_cannot_train_a_batch_norm(module: type) -> None:
    one_place = torch.randn(1, 32, 1, 1)
    with pytest.raises(
        ValueError, match=r"one place \(B=1, H=1, W=1\).*module.eval\(\), a batch of 2 or more, or bn=F"
    ):
        module(32)(one_place)
    for fix in (module(32).eval(), module(32, bn=False)):
        assert fix(one_place).shape == one_place.shape
    assert module(32)(torch.randn(2, 32, 1, 1)).shape == (2, 32, 1, 1)
