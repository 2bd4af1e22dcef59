"""Any shape, dtype and option: every module against its NumPy reference, with random weights."""

import numpy as np
import reference
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
    eca_kernel_size,
    record_attention,
)

POOLS = ("avg", "max", "lse", "lp")
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}

sizes = st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
dtypes = st.sampled_from(list(TOLERANCE))
seeds = st.integers(0, 2**20)
gates_and_inits = st.sampled_from(list(reference.GATES))
pool_lists = st.lists(st.sampled_from(POOLS), min_size=1, max_size=4, unique=True)
kernels = st.sampled_from([1, 3, 5, 7])


@st.composite
def hidden(draw: st.DrawFn, channels: int) -> dict[str, float]:
    """Hidden units said in one of the three ways, always at least one."""
    way = draw(st.sampled_from(["reduction", "number", "share"]))
    if way == "reduction":
        return {"reduction": draw(st.integers(1, channels))}
    if way == "number":
        return {"hidden": draw(st.integers(1, 50))}
    return {"hidden": draw(st.floats(min(1.0, 1.01 / channels), 1.5))}


def prepared(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> tuple[nn.Module, Tensor]:
    """The module in evaluation mode with random weights and statistics, and a map, both rounded to the dtype."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=generator)
            elif value.is_floating_point():
                value.normal_(0, 0.3, generator=generator)
    return module.eval().to(dtype), torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def assert_agrees(module: nn.Module, x: Tensor, gate: np.ndarray) -> None:
    """The recorded gate and the output are those of the reference."""
    with torch.no_grad(), record_attention(module) as maps:
        y = module(x)
    (recorded,) = maps.values()
    tolerance = TOLERANCE[x.dtype]
    assert recorded.shape == gate.shape
    assert y.dtype == x.dtype
    np.testing.assert_allclose(recorded.double().numpy(), gate, rtol=tolerance, atol=tolerance)
    wide = gate[:, :, None, None] if gate.ndim == 2 else gate[:, None]
    np.testing.assert_allclose(y.double().numpy(), wide * x.double().numpy(), rtol=tolerance, atol=3 * tolerance)


@given(sizes, dtypes, seeds, st.sampled_from(POOLS), gates_and_inits, st.booleans(), st.data())
def test_squeeze_excitation(shape, dtype, seed, pool, gate_and_init, bias, data) -> None:
    gate, init = gate_and_init
    options = data.draw(hidden(shape[1]))
    module = SqueezeExcitation(shape[1], bias=bias, pool=pool, gate=gate, init=init, **options)
    module, x = prepared(module, shape, dtype, seed)
    weights = reference.arrays(module)
    assert_agrees(module, x, reference.squeeze_excitation(x.double().numpy(), weights, pool, gate, init))


@given(sizes, dtypes, seeds, st.sampled_from(POOLS), gates_and_inits, st.none() | kernels)
def test_efficient_channel_attention(shape, dtype, seed, pool, gate_and_init, kernel_size) -> None:
    gate, init = gate_and_init
    module = EfficientChannelAttention(shape[1], kernel_size, pool=pool, gate=gate, init=init)
    module, x = prepared(module, shape, dtype, seed)
    weights = reference.arrays(module)
    assert_agrees(module, x, reference.efficient_channel_attention(x.double().numpy(), weights, pool, gate, init))


@given(sizes, dtypes, seeds, pool_lists, gates_and_inits, st.booleans(), st.data())
def test_channel_attention(shape, dtype, seed, pools, gate_and_init, bias, data) -> None:
    gate, init = gate_and_init
    options = data.draw(hidden(shape[1]))
    module = ChannelAttention(shape[1], bias=bias, pool="+".join(pools), gate=gate, init=init, **options)
    module, x = prepared(module, shape, dtype, seed)
    weights = reference.arrays(module)
    assert_agrees(module, x, reference.channel_attention(x.double().numpy(), weights, pools, gate, init))


@given(sizes, dtypes, seeds, pool_lists | st.just(["conv"]), gates_and_inits, kernels, st.booleans(), st.booleans())
def test_spatial_attention(shape, dtype, seed, pools, gate_and_init, kernel_size, bias, bn) -> None:
    gate, init = gate_and_init
    module = SpatialAttention(shape[1], kernel_size, pool="+".join(pools), bias=bias, bn=bn, gate=gate, init=init)
    module, x = prepared(module, shape, dtype, seed)
    weights = reference.arrays(module)
    assert_agrees(module, x, reference.spatial_attention(x.double().numpy(), weights, pools, gate, init))


@given(
    sizes,
    st.sampled_from([torch.float64, torch.float32]),
    seeds,
    pool_lists,
    pool_lists | st.sampled_from([["conv"], ["none"]]),
    st.sampled_from(["channel-first", "spatial-first", "parallel"]),
    gates_and_inits,
    st.fixed_dictionaries({"mlp_bias": st.booleans(), "conv_bias": st.booleans(), "bn": st.booleans()}),
    kernels,
    st.data(),
)
def test_cbam(shape, dtype, seed, pools, spatial_pools, order, gate_and_init, switches, kernel_size, data) -> None:
    gate, init = gate_and_init
    options = data.draw(hidden(shape[1])) | switches
    module = CBAM(
        shape[1],
        pool="+".join(pools),
        spatial_pool="+".join(spatial_pools),
        kernel_size=kernel_size,
        order=order,
        gate=gate,
        init=init,
        **options,
    )
    module, x = prepared(module, shape, dtype, seed)
    expected = reference.cbam(x.double().numpy(), reference.arrays(module), pools, spatial_pools, order, gate, init)
    before = x.clone()
    with torch.no_grad():
        y = module(x)
    assert torch.equal(x, before)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(y.double().numpy(), expected, rtol=tolerance, atol=10 * tolerance)
    torch.testing.assert_close(module(x), y)  # with autograd nothing is overwritten, and nothing differs


@given(st.integers(1, 10**6), st.floats(0.1, 10), st.floats(-10, 10))
def test_eca_kernel_size_is_odd_and_at_the_formula(channels: int, gamma: float, b: float) -> None:
    t = abs((np.log2(channels) + b) / gamma)
    assume(abs(t - round(t)) > 1e-9)  # at a whole number, rounding decides on both sides
    k = eca_kernel_size(channels, gamma, b)
    assert k % 2 == 1
    assert k - int(t) in (0, 1)
