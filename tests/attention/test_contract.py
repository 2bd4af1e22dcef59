"""One contract for all five modules: what a module of this package may be relied on to do, whatever it computes."""

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
    record_attention,
)

CHANNELS = 16
MODULES = {
    "SE": lambda **options: SqueezeExcitation(CHANNELS, 4, **options),
    "ECA": lambda **options: EfficientChannelAttention(CHANNELS, **options),
    "channel": lambda **options: ChannelAttention(CHANNELS, 4, **options),
    "spatial": lambda **options: SpatialAttention(CHANNELS, **options),
    "CBAM": lambda **options: CBAM(CHANNELS, 4, **options),
}
# Every way through CBAM.forward that the five above do not take.
ABLATIONS = {
    "spatial-first": lambda **options: CBAM(CHANNELS, 4, order="spatial-first", **options),
    "parallel": lambda **options: CBAM(CHANNELS, 4, order="parallel", **options),
    "no spatial gate": lambda **options: CBAM(CHANNELS, 4, spatial_pool="none", **options),
    "spatial-first, no spatial gate": lambda **options: CBAM(
        CHANNELS, 4, spatial_pool="none", order="spatial-first", **options
    ),
    "learnt descriptor": lambda **options: CBAM(CHANNELS, 4, spatial_pool="conv", **options),
    "other pools": lambda **options: CBAM(CHANNELS, 4, pool="avg+lse+lp", spatial_pool="lp+max+lse", **options),
}
PRESETS = {
    f"{module.__name__}.{preset}": lambda module=module, preset=preset, **options: getattr(module, preset)(
        CHANNELS, **({} if module in (EfficientChannelAttention, SpatialAttention) else {"reduction": 4}), **options
    )
    for module in (SqueezeExcitation, EfficientChannelAttention, ChannelAttention, SpatialAttention, CBAM)
    for preset in ("paper", "official", "timm", "keras")
}
WAYS = MODULES | ABLATIONS
ALL = WAYS | PRESETS

five = pytest.mark.parametrize("name", MODULES)
every_way = pytest.mark.parametrize("name", WAYS)
every_preset = pytest.mark.parametrize("name", ALL)


def sample(*shape: int, **options: object) -> Tensor:
    return torch.randn(shape or (2, CHANNELS, 6, 5), **options)


# ---- dtypes ---------------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 5e-2), (torch.float64, 1e-5)])
def test_other_dtypes_are_kept_and_close_to_float32(
    name: str, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    module = ALL[name]().eval().to(device)
    x = sample(device=device).to(dtype)
    expected = module(x.float())
    y = module.to(dtype)(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), expected, rtol=tolerance, atol=tolerance)


@every_way
@pytest.mark.parametrize("half", [True, False])
def test_autocast_keeps_the_dtype_of_the_map_and_a_float32_gate(name: str, half: bool, device: torch.device) -> None:
    low = torch.bfloat16 if device.type == "cpu" else torch.float16
    dtype = low if half else torch.float32
    module, x = ALL[name]().to(device), sample(device=device).to(dtype)
    with torch.autocast(device.type, low), record_attention(module) as maps:
        y = module(x)
    assert y.dtype == dtype
    assert {gate.dtype for gate in maps.values()} == {torch.float32}
    y.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in module.parameters())


@five
def test_autocast_is_close_to_float32(name: str) -> None:
    module, x = ALL[name]().eval(), sample()
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    torch.testing.assert_close(y, module(x), rtol=1e-6, atol=1e-6)  # nothing of ours runs in bfloat16


@every_way
def test_large_float16_maps_do_not_overflow(name: str) -> None:
    """The sum over 112 x 112 places of a mean of 10 is above float16's largest number."""
    module = ALL[name]().eval().half()
    y = module((sample(1, CHANNELS, 112, 112) + 10).half())
    assert y.isfinite().all()


# ---- shapes ---------------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(1, CHANNELS, 6, 5), (0, CHANNELS, 6, 5), (3, CHANNELS, 1, 1), (2, CHANNELS, 1, 9)])
def test_shapes(name: str, training: bool, shape: tuple[int, ...], device: torch.device) -> None:
    module = ALL[name]().to(device).train(training)
    x = sample(*shape, device=device).requires_grad_()
    y = module(x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape
    assert x.grad.isfinite().all()


@every_way
def test_one_place_in_evaluation(name: str) -> None:
    assert ALL[name]().eval()(sample(1, CHANNELS, 1, 1)).shape == (1, CHANNELS, 1, 1)


@every_way
def test_an_empty_batch_leaves_the_running_statistics_finite(name: str) -> None:
    module = ALL[name]()
    module(sample(0, CHANNELS, 6, 5))
    assert all(value.isfinite().all() for value in module.state_dict().values())


@every_way
@pytest.mark.parametrize("grad", [True, False])
def test_memory_formats_are_kept_and_give_the_same_values(name: str, grad: bool, device: torch.device) -> None:
    module, x = ALL[name]().to(device).eval(), sample(device=device)
    with torch.set_grad_enabled(grad):
        contiguous, last = module(x), module(x.to(memory_format=torch.channels_last))
    assert contiguous.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    torch.testing.assert_close(contiguous, last)


@five
def test_shapes_are_inferred_on_the_meta_device(name: str) -> None:
    module = ALL[name]().to("meta").eval()
    y = module(sample(device="meta"))
    assert y.is_meta
    assert y.shape == (2, CHANNELS, 6, 5)


# ---- gradients ------------------------------------------------------------------------------------------------------


@every_way
def test_gradcheck(name: str) -> None:
    module, x = ALL[name]().double().eval(), sample(2, CHANNELS, 3, 4, dtype=torch.float64).requires_grad_()
    weights = dict(module.named_parameters())

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(weights, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *weights.values()), fast_mode=True)


@every_way
def test_backward_is_deterministic(name: str, device: torch.device) -> None:
    module = ALL[name]().to(device)
    x = sample(4, CHANNELS, 9, 8, device=device).relu_()  # many ties at 0

    def gradients() -> list[Tensor]:
        x.grad = None
        module.zero_grad()
        module(x.requires_grad_()).square().sum().backward()
        return [x.grad.clone(), *(p.grad.clone() for p in module.parameters())]

    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradients(), gradients()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_way
def test_an_all_zero_map_has_finite_gradients(name: str) -> None:
    module, x = ALL[name](), torch.zeros(2, CHANNELS, 6, 5, requires_grad=True)
    y = module(x)
    assert torch.equal(y, torch.zeros_like(y))
    y.sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@every_way
def test_nan_in_gives_nan_out(name: str) -> None:
    """A broken map is noticed in the place where it is broken, and does not leak into other images."""
    x = sample()
    x[0, 3, 2, 2] = float("nan")
    y = ALL[name]().eval()(x)
    assert y[0, 3, 2, 2].isnan()
    assert y[1].isfinite().all()


@every_way
def test_forward_mode_and_functional_gradients_agree_with_backward(name: str) -> None:
    module, x, direction = ALL[name]().double().eval(), sample(dtype=torch.float64), sample(dtype=torch.float64)

    def energy(x: Tensor) -> Tensor:
        return module(x).square().sum()

    leaf = x.clone().requires_grad_()
    energy(leaf).backward()
    torch.testing.assert_close(torch.func.grad(energy)(x), leaf.grad)
    _, slope = torch.func.jvp(energy, (x,), (direction,))
    torch.testing.assert_close(slope, (leaf.grad * direction).sum())


# ---- the input is not touched ---------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_input_is_never_modified_and_every_mode_gives_the_same(
    name: str, mode, training: bool, memory_format: torch.memory_format
) -> None:
    module = ALL[name]().train(training)
    x = sample().to(memory_format=memory_format)
    before = x.clone()
    expected = copy.deepcopy(module)(x)
    assert expected.requires_grad
    with mode():
        y = module(x)
    assert torch.equal(x, before)
    assert y.data_ptr() != x.data_ptr()
    assert torch.equal(y, expected)


@every_way
def test_the_input_is_not_modified_with_frozen_weights(name: str) -> None:
    module, x = ALL[name]().eval().requires_grad_(False), sample()
    before = x.clone()
    y = module(x)
    assert torch.equal(x, before)
    with_gradient = module(x.requires_grad_())
    assert torch.equal(y, with_gradient)
    with_gradient.sum().backward()
    assert x.grad is not None


# ---- copies, files, transforms --------------------------------------------------------------------------------------


def perturbed(module: nn.Module) -> nn.Module:
    """Away from its initial values, so that a copy that starts afresh is noticed."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    return module


@every_preset
@pytest.mark.parametrize("init", ["default", "identity"])
def test_copies_and_files(name: str, init: str) -> None:
    module, x = perturbed(ALL[name](init=init)).eval(), sample()
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh = ALL[name](init=init).eval()
    assert not torch.equal(fresh(x), expected)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x), expected)


@five
@pytest.mark.parametrize("grad", [True, False])
def test_functional_call_and_vmap(name: str, grad: bool) -> None:
    """An ensemble: three modules of one kind with their weights stacked, on three batches."""
    modules = [perturbed(ALL[name]()).eval() for _ in range(3)]
    weights, buffers = torch.func.stack_module_state(modules)
    x = sample(3, 2, CHANNELS, 6, 5)

    def run(weights: dict, buffers: dict, x: Tensor) -> Tensor:
        return torch.func.functional_call(modules[0], (weights, buffers), (x,))

    with torch.set_grad_enabled(grad):
        together = torch.vmap(run)(weights, buffers, x)
    alone = torch.stack([module(batch) for module, batch in zip(modules, x, strict=True)])
    torch.testing.assert_close(together, alone)


# ---- compile, export, ONNX ------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_compiled() -> None:
    """One code object is recompiled a few times only, and all our modules of one class share it."""
    torch.compiler.reset()


@pytest.mark.usefixtures("nothing_compiled")
@every_way
@pytest.mark.parametrize("training", [True, False])
def test_compiles_to_one_graph(name: str, training: bool) -> None:
    """Without graph breaks, forward and backward; the backend that only captures keeps this quick."""
    module = ALL[name]().train(training)
    twin, x = copy.deepcopy(module), sample().requires_grad_()
    y = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
    expected = twin(x)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    expected.sum().backward()
    for p, q in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("nothing_compiled")
@five
def test_compiled_code_gives_the_same(name: str, device: torch.device) -> None:
    module, x = ALL[name]().to(device).eval(), sample(device=device)
    with torch.no_grad():
        compiled = torch.compile(module, fullgraph=True)
        torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("nothing_compiled")
@five
def test_compiled_once_for_every_size(name: str) -> None:
    module = ALL[name]().eval()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    compiled(sample())
    with torch.compiler.set_stance("fail_on_recompile"):
        for shape in ((4, CHANNELS, 9, 11), (3, CHANNELS, 20, 8)):
            x = sample(*shape)
            torch.testing.assert_close(compiled(x), module(x))


B, H, W = (torch.export.Dim(size, max=4096) for size in ("batch", "height", "width"))  # torch 2.6 needs a maximum
DYNAMIC = ({0: B, 2: H, 3: W},)
OTHER_SIZES = [(1, CHANNELS, 6, 5), (5, CHANNELS, 9, 14)]


@every_way
def test_exports_with_dynamic_batch_height_and_width(name: str) -> None:
    module = ALL[name]().eval()
    exported = torch.export.export(module, (sample(),), dynamic_shapes=DYNAMIC).module()
    for shape in OTHER_SIZES:
        x = sample(*shape)
        before = x.clone()
        torch.testing.assert_close(exported(x), module(x))
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", [*MODULES, "other pools"])
def test_onnx_with_dynamic_sizes(name: str, tmp_path) -> None:
    import onnxruntime

    module, file = perturbed(ALL[name]()).eval(), tmp_path / "module.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own dependencies
        torch.onnx.export(
            module, (sample(),), file, dynamo=True, dynamic_shapes=DYNAMIC, input_names=["F"], verbose=False
        )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in OTHER_SIZES:
        x = sample(*shape)
        (y,) = session.run(None, {"F": x.numpy()})
        np.testing.assert_allclose(y, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


# ---- identity -------------------------------------------------------------------------------------------------------


@every_preset
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_identity_is_exact(name: str, dtype: torch.dtype, training: bool) -> None:
    module = ALL[name](init="identity").to(dtype).train(training)
    x = (10 * sample()).to(dtype)
    assert torch.equal(module(x), x)


@pytest.mark.parametrize("gate", ["sigmoid", "hardsigmoid", "tanh"])
@pytest.mark.parametrize("options", [{}, {"bn": False}, {"bn": False, "conv_bias": True}, {"mlp_bias": False}])
def test_identity_is_exact_with_every_gate(gate: str, options: dict) -> None:
    x = sample()
    assert torch.equal(CBAM(CHANNELS, 4, gate=gate, init="identity", **options)(x), x)


@every_preset
def test_identity_learns_from_the_first_step(name: str) -> None:
    """After five steps every gate has left 1 and every parameter has moved; no gradient was infinite."""
    module = ALL[name](init="identity")
    start = copy.deepcopy(module.state_dict())
    x, target = sample(8, CHANNELS, 6, 5), sample(8, CHANNELS, 6, 5)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (module(x) - target).square().mean().backward()
        assert all(p.grad.isfinite().all() for p in module.parameters())
        optimizer.step()
    with record_attention(module) as maps:
        module(x)
    assert all((gate != 1).any() for gate in maps.values())
    still = [key for key, p in module.named_parameters() if torch.equal(p, start[key])]
    assert not still


@pytest.mark.parametrize("make", [SqueezeExcitation, EfficientChannelAttention, CBAM])
def test_meta_maps_of_another_dtype_get_the_same_error_as_all_others(make) -> None:
    """The meta device knows no autocast, and asking it for that is an error of its own."""
    module = make(32).to("meta")
    assert module(torch.empty(1, 32, 4, 4, device="meta")).shape == (1, 32, 4, 4)
    with pytest.raises(TypeError, match=r"x is torch.float64 but the module is torch.float32: use module.to"):
        module(torch.empty(1, 32, 4, 4, device="meta", dtype=torch.float64))
