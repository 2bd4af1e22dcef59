"""Our modules under PyTorch's tools (tracers, quantization, hooks) and beside other people's weights."""

import warnings
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import torchvision.models as tv
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import create_feature_extractor

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SplitAttention,
    SqueezeExcitation,
    fuse,
    insert_attention,
    record_attention,
    resnet18,
)
from cbam_lite.attention.inputs import like_weight, node_of

MODULES = {
    "SE": lambda: SqueezeExcitation(16, 4),
    "ECA": lambda: EfficientChannelAttention(16),
    "channel": lambda: ChannelAttention(16, 4),
    "spatial": lambda: SpatialAttention(16),
    "CBAM": lambda: CBAM(16, 4),
    "CBAM, parallel": lambda: CBAM(16, 4, order="parallel"),
    "CBAM without a spatial gate": lambda: CBAM(16, 4, spatial_pool="none"),
}
each = pytest.mark.parametrize("name", MODULES)


def sample(*shape: int) -> Tensor:
    return torch.randn(shape or (2, 16, 6, 5))


# ---- tracers --------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("grad", [True, False])
def test_jit_trace_takes_other_sizes(name: str, grad: bool) -> None:
    """The tracer runs the module with and without gradients, and wants the same graph from both."""
    module, x = MODULES[name]().eval(), sample(3, 16, 9, 4)
    with torch.set_grad_enabled(grad), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated, and that checks of sizes are not traced
        traced = torch.jit.trace(module, sample())
    torch.testing.assert_close(traced(x), module(x))


@each
@pytest.mark.parametrize("training", [True, False])
def test_fx_sees_one_node_that_still_checks_its_map(name: str, training: bool) -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3), MODULES[name](), nn.ReLU()).train(training)
    traced = fx.symbolic_trace(network)
    assert [node.target for node in traced.graph.nodes] == ["input", "0", "1", "2", "output"]
    x = sample(2, 3, 8, 7)
    torch.testing.assert_close(traced(x), network(x))
    with record_attention(traced) as maps:
        traced(x)
    assert len(maps) == (2 if name in ("CBAM", "CBAM, parallel") else 1)
    with pytest.raises(TypeError, match=r"x is torch\.float64 but the module is torch\.float32"):
        traced.get_submodule("1")(sample().double())


def test_fx_takes_a_module_inside_others_only() -> None:
    with pytest.raises(
        TypeError, match=r"^CBAM is one node for torch\.fx.*: trace nn\.Sequential\(module\), or the net"
    ):
        fx.symbolic_trace(CBAM(16, 4))


def test_a_stand_in_becomes_one_call_of_the_module() -> None:
    """The same without a tracer, which does not run where each function is wrapped: see tools/mutants.py."""
    F, module = MagicMock(spec=fx.Proxy), CBAM(16, 4)
    F.tracer = MagicMock()
    F.tracer.path_of_module.side_effect = {module: "layer1.cbam"}.get
    assert module(F) is F.tracer.create_proxy.return_value
    F.tracer.create_proxy.assert_called_once_with("call_module", "layer1.cbam", (F,), {})
    F.tracer.path_of_module.side_effect = {module: ""}.get
    with pytest.raises(TypeError, match=r"^CBAM is one node for torch\.fx"):
        node_of(module, F)


@pytest.mark.parametrize(
    "make",
    [
        lambda: resnet18(CBAM, planes=16, num_classes=2),
        lambda: insert_attention(resnet18(planes=16, num_classes=2), SqueezeExcitation, report=None),
        lambda: fuse(resnet18(CBAM, planes=16, num_classes=2), report=None),
    ],
    ids=["built", "inserted", "fused"],
)
def test_torchvision_extracts_features(make) -> None:
    network, x = make().eval(), sample(1, 3, 64, 64)
    place = "layer2.0.bn2.attention" if hasattr(network.layer2[0].bn2, "attention") else "layer2.0.attention"
    extractor = create_feature_extractor(network, {"layer1": "first", place: "refined"})
    features = extractor(x)
    assert features["refined"].shape == (1, 32, 8, 8)
    stem = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    torch.testing.assert_close(features["first"], network.layer1(stem))


def test_fx_traces_split_attention() -> None:
    traced = fx.symbolic_trace(nn.Sequential(SplitAttention(16, 8)))  # in training, where it looks at the batch size
    x = sample()
    torch.testing.assert_close(traced.eval()(x), traced.get_submodule("0")(x))


# ---- quantization ---------------------------------------------------------------------------------------------------


def test_a_layer_without_a_weight_works_in_float32_on_the_cpu() -> None:
    """Whatever the defaults are: that is what quantized layers take."""
    layer = SimpleNamespace(weight=lambda: None)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            stand_in = like_weight(layer)
    finally:
        torch.set_default_dtype(before)
    assert (stand_in.dtype, stand_in.device.type) == (torch.float32, "cpu")


@each
def test_dynamic_quantization_is_close(name: str) -> None:
    """Its linear layers have a method in the place of the weight."""
    network, x = nn.Sequential(MODULES[name](), nn.Flatten(), nn.Linear(16 * 30, 2)).eval(), sample()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        quantized = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)
    assert not isinstance(quantized[2].weight, Tensor)
    torch.testing.assert_close(quantized(x), network(x), atol=0.03, rtol=0.03)
    with pytest.raises(TypeError, match=r"x is torch\.float64 but the module is torch\.float32"):
        quantized(x.double())


# ---- hooks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["channel-first", "spatial-first", "parallel"])
def test_which_hooks_are_called(order: str) -> None:
    """As the docstring says: the halves where they are called, their gates always."""
    cbam, called = CBAM(16, 4, order=order), []
    for name, module in cbam.named_modules():
        if name.endswith(("attention", "gate")):
            module.register_forward_hook(lambda _module, _inputs, _output, name=name: called.append(name))
    cbam(sample())
    channel, spatial = ["channel_attention.gate", "channel_attention"], ["spatial_attention.gate", "spatial_attention"]
    expected = {
        "channel-first": channel + spatial,
        "spatial-first": spatial + channel,
        "parallel": [channel[0], spatial[0]],
    }
    assert called == expected[order]


@pytest.mark.parametrize("grad", [True, False])
def test_a_hook_may_keep_the_input_of_the_spatial_gate(grad: bool) -> None:
    """F' stays F': nothing is scaled in place, with or without gradients."""
    cbam, F, kept = CBAM(16, 4).eval(), sample(), []
    cbam.spatial_attention.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0]))
    with torch.set_grad_enabled(grad):
        cbam(F)
        assert torch.equal(kept[0], cbam.channel_attention(F))


# ---- first values and conventions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "silent"),
    [
        (lambda: SqueezeExcitation(16), 87),
        (lambda: SqueezeExcitation(16, hidden=2), 37),
        (lambda: SqueezeExcitation(16, 4), 9),
        (lambda: ChannelAttention(16), 83),
        (lambda: ChannelAttention(16, hidden=2), 32),
    ],
)
def test_few_hidden_units_start_silent_as_often_as_the_docstrings_say(make, silent: int) -> None:
    seen = 0
    for seed in range(200):
        torch.manual_seed(seed)
        module, x = make(), torch.rand(8, 16, 8, 8)
        first = module.W_0 if isinstance(module, ChannelAttention) else module.W_1
        (module(x) - torch.randn(8, 16, 8, 8)).square().mean().backward()
        seen += not first.weight.grad.any()
    assert abs(seen - silent) <= 3  # the seeds are fixed, but rounding differs from machine to machine
    assert f" {silent} " in SqueezeExcitation.__doc__ + ChannelAttention.__doc__


def test_the_line_for_pytorchcvs_momentum() -> None:
    """Equal in evaluation; in training the statistics move ten times as far."""
    official, theirs = CBAM.official(16, 4), CBAM.official(16, 4)
    theirs.load_state_dict(official.state_dict())
    theirs.spatial_attention.norm.momentum = 0.1
    x = sample()
    for cbam in (official, theirs):
        cbam(x)
    steps = [cbam.spatial_attention.norm.running_mean for cbam in (official, theirs)]
    assert steps[0].abs() > 1e-5
    torch.testing.assert_close(10 * steps[0], steps[1])


def test_conv_bias_is_handed_on() -> None:
    assert CBAM(16, 4).spatial_attention.conv.bias is None
    assert CBAM(16, 4, conv_bias=True).spatial_attention.conv.bias is not None
    assert SpatialAttention(16, bias=True).conv.bias is not None
    style = CBAM.keras(16, hidden=0.5, conv_bias=True)  # TensorFlow 1.9
    assert style.channel_attention.W_0.out_features == 8
    assert style.spatial_attention.conv.bias.item() == 0


def keras_cbam(x: np.ndarray, dense_1: tuple, dense_2: tuple, conv: tuple) -> np.ndarray:
    """Keras' layers on (B, H, W, C), with kernels (in, out) and (k, k, in, out)."""

    def mlp(z: np.ndarray) -> np.ndarray:
        return np.maximum(z @ dense_1[0] + dense_1[1], 0) @ dense_2[0] + dense_2[1]

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    x = x * sigmoid(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))[:, None, None]
    places = np.stack([x.mean(3), x.max(3)], 3)
    k = conv[0].shape[0]
    padded = np.pad(places, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    z = np.zeros((*x.shape[:3], 1), x.dtype)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            z[:, i, j] = np.tensordot(padded[:, i : i + k, j : j + k], conv[0], 3)
    return x * sigmoid(z + (conv[1] if len(conv) > 1 else 0))


@pytest.mark.parametrize("conv_bias", [True, False])
def test_the_recipe_of_the_docstring_moves_keras_weights(conv_bias: bool) -> None:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    dense_1, dense_2 = (draw(16, 4), draw(4)), (draw(4, 16), draw(16))
    conv = (draw(7, 7, 2, 1), *([draw(1)] if conv_bias else []))
    cbam = CBAM.keras(16, 4, conv_bias=conv_bias)
    recipe = CBAM.keras.__doc__.partition("::\n")[2].partition("Maps are")[0]
    lines = [line.removeprefix(" " * 12) for line in recipe.splitlines()]
    layers = {
        name: type("Layer", (), {"get_weights": lambda _self, w=w: list(w)})()
        for name, w in {"dense_1": dense_1, "dense_2": dense_2, "conv2d": conv}.items()
    }
    exec("\n".join(lines), {"cbam": cbam, "torch": torch, **layers})
    x = draw(2, 6, 5, 16)
    y = cbam(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(y, keras_cbam(x, dense_1, dense_2, conv), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("gamma", "b", "k"), [(1, 3, 9), (3, 1, 3), (2, 5, 5), (2, -4, 1)])
def test_eca_takes_both_constants_of_its_formula(gamma: float, b: float, k: int) -> None:
    """64 channels: t = |(6 + b) / gamma|."""
    assert EfficientChannelAttention(64, gamma=gamma, b=b).conv.kernel_size == (k,)


def test_an_inserted_network_of_torchvision_is_traced() -> None:
    network = insert_attention(tv.resnet18(num_classes=2), CBAM, "layer4.*.bn2", report=None).eval()
    x = sample(1, 3, 32, 32)
    torch.testing.assert_close(fx.symbolic_trace(network)(x), network(x))
