"""The fused path gives what the plain path gives. Without a GPU, Triton's interpreter runs the kernels on the CPU."""

import copy
import itertools
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
    fuse,
    record_attention,
    resnet18,
    resnet50,
    unfuse,
    use_fused,
)
from cbam_lite.speed import fused, operators, reasons

needs_triton = pytest.mark.skipif(
    not reasons.HAS_TRITON, reason="Triton is not installed (PyTorch for CPUs comes without)"
)
pytestmark = needs_triton

# Triton either compiles, for a GPU, or interprets, on the CPU; so all tests here run on one of the two.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
TAILS = {"alone": (False, False), "relu": (False, True), "add": (True, False), "add, relu": (True, True)}
# Largest error as a share of the largest number of the reference: a few units in the last place of the dtype, and for
# float32 some more, because a gradient of a bias is a sum that cancels.
TOLERANCES = {torch.float32: 3e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
MODULES = {
    "SE": lambda C: SqueezeExcitation(C, hidden=3),
    "SE, max, no bias": lambda C: SqueezeExcitation(C, hidden=3, bias=False, pool="max"),
    "channel": lambda C: ChannelAttention(C, hidden=3),
    "channel, max+avg": lambda C: ChannelAttention(C, hidden=3, pool="max+avg"),
    "CBAM": lambda C: CBAM(C, hidden=3),
    "CBAM, official": lambda C: CBAM.official(C, hidden=3),
    "CBAM, paper": lambda C: CBAM.paper(C, hidden=3),
    "CBAM, identity": lambda C: CBAM(C, hidden=3, init="identity", kernel_size=3, conv_bias=True, bn=False),
    "CBAM, no spatial gate": lambda C: CBAM(C, hidden=3, spatial_pool="none", gate="hardsigmoid"),
    "CBAM, one pool each": lambda C: CBAM(C, hidden=3, pool="max", spatial_pool="max", gate="tanh"),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture
def device() -> torch.device:
    return DEVICE


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that nobody has written yet holds NaN, so that a number that a kernel forgets is noticed."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused modules take the fused path where the tests run, also on a CPU."""
    monkeypatch.setattr(reasons, "DEVICES", ("cuda", "cpu"))


def perturbed(module: nn.Module) -> nn.Module:
    """Away from the initial values, some of which are 0 and would hide a wrong gradient."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


def error(value: Tensor | None, reference: Tensor | None) -> float:
    """Largest difference as a share of the largest number, or of 0.01 where a gradient cancels to less."""
    assert value is not None
    assert reference is not None
    assert value.shape == reference.shape
    largest = reference.double().abs().max().clamp_min(1e-2)
    difference = (value.double() - reference.double()).abs().max() / largest
    return float("inf") if difference.isnan() else difference.item()


def errors(module: nn.Module, x: Tensor, tail: str = "alone", mixed: bool = False) -> dict[str, float]:
    """Of output, all gradients and the running statistics, against the plain path in float64 on the same numbers.

    The weights keep float32 where `mixed`, as under autocast; otherwise they have the dtype of x.
    """
    add, relu = TAILS[tail]
    reference = copy.deepcopy(module).double()
    if not mixed:
        module = module.to(x.dtype)
        reference.load_state_dict(module.state_dict())
    x, shortcut = x.clone().requires_grad_(), torch.randn_like(x).requires_grad_() if add else None
    exact = x.detach().double().requires_grad_()
    exact_shortcut = shortcut.detach().double().requires_grad_() if add else None
    with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
        y = fused.attend(module, x, shortcut, relu)
    expected = reference(exact) + (exact_shortcut if add else 0)
    expected = expected.relu() if relu else expected
    d = torch.randn_like(x)
    if relu:
        d[(y == 0) != (expected == 0)] = 0  # rounded to 0: there, and only there, the two slopes of the ReLU may differ
    y.backward(d)
    expected.backward(d.double())
    assert y.dtype == x.dtype
    assert y.stride() == x.stride()
    pairs = {"output": (y, expected), "F": (x.grad, exact.grad)}
    if add:
        pairs["shortcut"] = (shortcut.grad, exact_shortcut.grad)
    parameters = zip(module.named_parameters(), reference.parameters(), strict=True)
    pairs |= {key: (p.grad, q.grad) for (key, p), q in parameters}
    pairs |= {key: (b, c) for (key, b), c in zip(module.named_buffers(), reference.buffers(), strict=True)}
    return {key: error(value, true) for key, (value, true) in pairs.items()}


def sample(*shape: int, device: torch.device = DEVICE, layout: str = "contiguous", dtype=torch.float32) -> Tensor:
    return torch.randn(shape, device=device).to(dtype).to(memory_format=LAYOUTS[layout])


# ---- the same result ------------------------------------------------------------------------------------------------


@every_layout
@pytest.mark.parametrize(
    ("name", "tail"), [*itertools.product(MODULES, ["alone", "add, relu"]), ("CBAM", "relu"), ("CBAM", "add")]
)
def test_forward_and_gradients(name: str, layout: str, tail: str, device: torch.device) -> None:
    module = perturbed(MODULES[name](10)).to(device)
    found = errors(module, sample(3, 10, 7, 5, device=device, layout=layout), tail)
    assert max(found.values()) < TOLERANCES[torch.float32], found


@pytest.mark.parametrize("name", ["SE", "CBAM"])
@every_layout
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_with_float32_weights(name: str, layout: str, dtype: torch.dtype, device: torch.device) -> None:
    """As under autocast: the map is half, the weights are not."""
    module = perturbed(MODULES[name](10)).to(device)
    found = errors(module, sample(3, 10, 7, 5, device=device, layout=layout, dtype=dtype), "add, relu", mixed=True)
    assert max(found.values()) < TOLERANCES[dtype], found


@pytest.mark.parametrize("name", ["SE", "CBAM"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights(name: str, dtype: torch.dtype, device: torch.device) -> None:
    """The gates are computed in half precision, as on the plain path; a few units in the last place remain of that."""
    module = perturbed(MODULES[name](10)).to(device)
    found = errors(module, sample(3, 10, 7, 5, device=device, dtype=dtype))
    assert max(found.values()) < 10 * TOLERANCES[dtype], found


# One place, one channel, one row, sizes beside powers of two, more than one tile along each axis and along both.
SHAPES = [(1, 2, 1, 1), (2, 1, 3, 3), (2, 5, 1, 9), (3, 33, 13, 1), (1, 3, 41, 53), (1, 1300, 2, 3), (2, 70, 9, 31)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@every_layout
def test_odd_shapes(shape: tuple[int, ...], layout: str, device: torch.device) -> None:
    for make in (MODULES["SE, max, no bias"], MODULES["CBAM"]):
        module = perturbed(make(shape[1])).to(device).train(shape != SHAPES[0])
        found = errors(module, sample(*shape, device=device, layout=layout), "add, relu")
        assert max(found.values()) < 3 * TOLERANCES[torch.float32], found  # sums over up to 2,000 numbers


@settings(max_examples=20)
@given(data=st.data())
def test_any_shape_and_option(data: st.DataObject) -> None:
    size = st.integers(1, 9)
    B, C, H, W = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40)), data.draw(size), data.draw(size)
    module = CBAM(
        C,
        hidden=data.draw(st.integers(1, 4)),
        mlp_bias=data.draw(st.booleans()),
        pool=data.draw(st.sampled_from(["avg", "max", "avg+max", "max+avg"])),
        spatial_pool=data.draw(st.sampled_from(["avg", "max", "avg+max", "max+avg", "none"])),
        kernel_size=data.draw(st.sampled_from([1, 3, 7])),
        gate=data.draw(st.sampled_from(["sigmoid", "hardsigmoid", "tanh"])),
        init=data.draw(st.sampled_from(["default", "identity"])),
        device=DEVICE,
    ).train(B * H * W > 1 and data.draw(st.booleans()))
    layout, tail = data.draw(st.sampled_from([*LAYOUTS])), data.draw(st.sampled_from([*TAILS]))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    found = errors(perturbed(module), sample(B, C, H, W, layout=layout), tail)
    assert {key: value for key, value in found.items() if value > 5e-3} == {}  # some gradients cancel to almost 0


@every_layout
def test_ties_share_the_gradient_as_amax_does(layout: str, device: torch.device) -> None:
    """Few different numbers, so that maxima are shared by channels, by places, and across tiles."""
    x = torch.randint(0, 3, (2, 70, 37, 30), device=device).float().to(memory_format=LAYOUTS[layout])
    module = CBAM(70, hidden=3, init="identity").to(device)  # M_c = 1: the products tie as the numbers do
    with torch.no_grad():
        module.spatial_attention.norm.weight.fill_(1.0)
    found = errors(module, x)
    assert max(found.values()) < 2e-5, found
    descriptors, ties = operators.channel_pools(x)
    assert torch.equal(ties, (x == x.amax((2, 3), keepdim=True)).sum((2, 3)).float())
    assert torch.equal(descriptors[1], x.amax((2, 3)))


def test_nan_goes_where_it_goes_on_the_plain_path(device: torch.device) -> None:
    x = sample(2, 6, 5, 4, device=device)
    x[0, 3, 2, 2] = float("nan")
    for make in (MODULES["SE, max, no bias"], MODULES["CBAM"]):
        module = make(6).to(device).eval()
        for relu in (False, True):
            expected = module(x).relu() if relu else module(x)
            assert torch.equal(fused.attend(module, x, relu=relu).isnan(), expected.isnan())


def test_the_steps_refuse_a_map_that_they_would_misread() -> None:
    with pytest.raises(ValueError, match=r"neither contiguous nor channels_last.*use F.contiguous\(\)"):
        operators.channel_pools(sample(2, 6, 5, 4)[:, :, 1:, 1:])


def test_infinite_numbers(device: torch.device) -> None:
    x = sample(1, 4, 3, 3, device=device)
    x[0, 0] = float("-inf")
    module = SqueezeExcitation(4, 1, pool="max").to(device)
    assert torch.equal(operators.channel_pools(x)[0][1], x.amax((2, 3)))
    torch.testing.assert_close(fused.attend(module, x), module(x), equal_nan=True)


def test_large_float16_maps_do_not_overflow(device: torch.device) -> None:
    x = (sample(1, 4, 112, 112, device=device) + 10).half()
    assert fused.attend(CBAM(4, 2).to(device).eval().half(), x).isfinite().all()


def test_the_input_is_not_touched_and_repetition_gives_the_same_bits(device: torch.device) -> None:
    """A race between programs, or an order of summation that changes, would show in the bits."""
    module, x = perturbed(CBAM(40, 4)).to(device).eval(), sample(4, 40, 19, 23, device=device)
    before, first = x.clone(), None
    for _ in range(100 if device.type == "cuda" else 3):
        leaf = x.clone().requires_grad_()
        module.zero_grad()
        y = fused.attend(module, leaf, shortcut=x, relu=True)
        y.square().sum().backward()
        bits = [y.detach(), leaf.grad, *(p.grad.clone() for p in module.parameters())]
        first = first or bits
        assert all(map(torch.equal, bits, first))
    assert torch.equal(x, before)


@pytest.mark.parametrize("momentum", [0.1, 0.01, None])
def test_running_statistics(momentum: float | None, device: torch.device) -> None:
    module = perturbed(CBAM(6, 2)).to(device)
    module.spatial_attention.norm.momentum = momentum
    twin = copy.deepcopy(module)
    for _ in range(3):
        x = sample(2, 6, 5, 4, device=device)
        fused.attend(module, x)
        twin(x)
    for value, expected in zip(module.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    x = sample(2, 6, 5, 4, device=device)
    torch.testing.assert_close(fused.attend(module.eval(), x), twin.eval()(x), rtol=1e-5, atol=1e-6)


def test_a_norm_without_running_statistics(device: torch.device) -> None:
    module = CBAM(6, 2).to(device)
    module.spatial_attention.norm = nn.BatchNorm2d(1, track_running_stats=False).to(device)
    x = sample(2, 6, 5, 4, device=device)
    for mode in (True, False):
        torch.testing.assert_close(fused.attend(module.train(mode), x), module(x), rtol=1e-5, atol=1e-6)


def test_a_gate_that_differs_in_its_last_bit_loses_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler may compute the gate another way in backward; the maxima must still be found."""
    module, x = CBAM(10, 3).to(DEVICE), sample(2, 10, 7, 5)
    gate, calls = operators.channel_gate, []

    def unsteady(*arguments: object) -> Tensor:
        calls.append(1)
        return gate(*arguments) * (1 + 2.0**-23 * (len(calls) > 1))

    monkeypatch.setattr(operators, "channel_gate", unsteady)
    assert errors(module, x)["F"] < TOLERANCES[torch.float32]
    assert len(calls) == 2


@every_layout
def test_gradients_and_shortcuts_of_another_layout(layout: str) -> None:
    other = next(name for name in LAYOUTS if name != layout)
    module, results = CBAM(10, 3).to(DEVICE), []
    x, shortcut, d = (
        sample(2, 10, 7, 5, layout=layout),
        sample(2, 10, 7, 5, layout=other),
        sample(2, 10, 7, 5, layout=other),
    )
    for run in (lambda x: fused.attend(module, x, shortcut, relu=True), lambda x: (module(x) + shortcut).relu()):
        leaf = x.clone().requires_grad_()
        run(leaf).backward(d)
        results.append(leaf.grad)
    assert error(*results) < TOLERANCES[torch.float32]


@pytest.mark.parametrize("wants", ["F", "weights", "shortcut"])
def test_nothing_is_computed_for_nobody(wants: str, passes: list[str]) -> None:
    """With frozen weights, with a map that is given, or with both."""
    module = CBAM(10, 3).to(DEVICE).requires_grad_(wants == "weights")
    x, shortcut = (
        sample(2, 10, 7, 5).requires_grad_(wants == "F"),
        sample(2, 10, 7, 5).requires_grad_(wants == "shortcut"),
    )
    y, expected = fused.attend(module, x, shortcut, relu=True), (module(x) + shortcut).relu()
    leaves = {"F": [x], "shortcut": [shortcut], "weights": [*module.parameters()]}[wants]
    passes.clear()
    found = torch.autograd.grad(y.square().sum(), leaves)
    assert ("map_gradient" in passes, "place_pools_gradient" in passes) == (wants == "F", wants != "shortcut")
    for value, true in zip(found, torch.autograd.grad(expected.square().sum(), leaves), strict=True):
        assert error(value, true) < TOLERANCES[torch.float32]


# ---- few passes, little memory --------------------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels, once for each map that they read or write; a kernel goes over each of its maps once."""
    went: list[str] = []
    launch = operators.launch

    def counting(name, F, arguments, *rest, **options) -> None:
        maps = [a for a in arguments if isinstance(a, Tensor) and a.numel() == F.numel()]
        went.extend([name] * len(maps))
        launch(name, F, arguments, *rest, **options)

    monkeypatch.setattr(operators, "launch", counting)
    return went


@pytest.mark.parametrize(
    ("name", "tail", "forward", "backward"),
    [
        ("SE", "alone", 3, 5),
        ("SE", "add, relu", 4, 7),
        ("CBAM", "alone", 4, 6),
        ("CBAM", "add, relu", 5, 8),
        ("CBAM, no spatial gate", "alone", 3, 5),
    ],
)
def test_passes_over_the_map(name: str, tail: str, forward: int, backward: int, passes: list[str]) -> None:
    """As few as the chapter counts. SE's last kernel is handed F, too, but without a maximum it does not read it."""
    add, relu = TAILS[tail]
    x = sample(2, 10, 7, 5).requires_grad_()
    y = fused.attend(MODULES[name](10).to(DEVICE), x, sample(2, 10, 7, 5).requires_grad_() if add else None, relu)
    assert len(passes) == forward
    passes.clear()
    y.sum().backward()
    assert len(passes) == backward


def saved_maps(run, x: Tensor) -> int:
    """How many different tensors as large as the map autograd keeps."""
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.numel() >= x.numel():
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return len(kept)


def test_backward_keeps_the_map_and_nothing_else_of_its_size() -> None:
    module, x, shortcut = CBAM(10, 2).to(DEVICE), sample(2, 10, 7, 5).requires_grad_(), sample(2, 10, 7, 5)
    assert saved_maps(lambda: fused.attend(module, x), x) == 1  # F
    assert saved_maps(lambda: module(x), x) == 2  # F and F'
    assert saved_maps(lambda: fused.attend(module, x, shortcut, relu=True), x) == 2  # F, and the output for the ReLU
    assert saved_maps(lambda: (module(x) + shortcut).relu_(), x) == 3


# ---- PyTorch's own machinery ----------------------------------------------------------------------------------------


def operator_arguments(module: nn.Module, x: Tensor, shortcut: Tensor | None, relu: bool) -> tuple:
    """What `attend` hands to the operator."""
    caught = []

    class Catch(Exception):
        pass

    def catch(*arguments: object) -> None:
        caught.append(arguments)
        raise Catch

    operator, fused.attend_operator = fused.attend_operator, catch
    try:
        with pytest.raises(Catch):
            fused.attend(module, x, shortcut, relu)
    finally:
        fused.attend_operator = operator
    return caught[0]


@pytest.mark.parametrize("name", ["SE", "CBAM", "CBAM, paper"])
@pytest.mark.parametrize("training", [True, False])
def test_operators_are_registered_as_pytorch_asks(name: str, training: bool, device: torch.device) -> None:
    """Schema, fake kernel, autograd, and compilation with dynamic shapes, by PyTorch's own check."""
    module, x = MODULES[name](6).to(device).train(training), sample(2, 6, 5, 4, device=device).requires_grad_()
    arguments = operator_arguments(module, x, torch.randn_like(x).requires_grad_(), True)
    torch.library.opcheck(fused.attend_operator, arguments)
    with torch.no_grad():
        M_c, M_s = torch.rand(2, 6, device=device), torch.rand(2, 5, 4, device=device)
        torch.library.opcheck(operators.gate_gradients, (x.detach(), x.detach(), M_c, M_s, x.detach()))
        torch.library.opcheck(operators.place_pools_gradient, (x.detach(), M_c, M_s, M_s, M_s))
        torch.library.opcheck(operators.map_gradient, (x.detach(), x.detach(), M_c, *[M_s] * 4, *[M_c] * 3))


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", ["SE", "CBAM"])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_to_one_graph(name: str, backend: str, device: torch.device) -> None:
    torch.compiler.reset()
    twin, x = perturbed(MODULES[name](6)).to(device), sample(2, 6, 5, 4, device=device)
    module = fuse(copy.deepcopy(twin), report=None)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = torch.compile(module, fullgraph=True, backend=backend)(one)
    expected = twin(two)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-5)
    for p, q in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5)
    for b, c in zip(module.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(b, c)


@pytest.mark.usefixtures("everywhere")
def test_the_compiled_graph_holds_the_operator_once() -> None:
    torch.compiler.reset()
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        graphs.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    torch.compile(fuse(CBAM(6, 2).to(DEVICE), report=None), fullgraph=True, backend=backend)(sample(2, 6, 5, 4))
    assert len(graphs) == 1
    assert [name for name in graphs[0] if "cbam_lite" in name] == ["cbam_lite.attend.default"]


@pytest.mark.usefixtures("everywhere")
def test_autocast_changes_nothing_but_the_dtype_around(device: torch.device) -> None:
    module, x = fuse(perturbed(CBAM(6, 2)).to(device).eval(), report=None), sample(2, 6, 5, 4, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        y, low = module(x), module(x.bfloat16())
    assert torch.equal(y, module(x))
    assert low.dtype == torch.bfloat16
    assert error(low, y) < TOLERANCES[torch.bfloat16]


def test_second_derivatives_are_refused_with_the_way_out() -> None:
    module, x = SqueezeExcitation(6, 2).to(DEVICE), sample(2, 6, 5, 4).requires_grad_()
    loss = fused.attend(module, x).square().sum()
    for wanted in (x, module.W_2.weight):
        with pytest.raises(NotImplementedError, match=r"with use_fused\(False\)"):
            torch.autograd.grad(loss, wanted, create_graph=True)


# ---- when the modules take it ---------------------------------------------------------------------------------------


def kernels_of(run, passes: list[str]) -> bool:
    """Whether `run` launched any kernel."""
    passes.clear()
    run()
    return bool(passes)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("make", [SqueezeExcitation, ChannelAttention, CBAM])
def test_modules_take_the_fused_path_when_told_to_and_leave_it_again(
    make, device: torch.device, passes: list[str]
) -> None:
    module, x = make(16).to(device).eval(), sample(2, 16, 5, 4, device=device)
    results = []
    assert not kernels_of(lambda: results.append(module(x)), passes), "nothing is fused by itself"
    assert fused.why_not(module, x) == "the module is not fused: call fuse(model)"
    assert fuse(module, report=None) is module
    assert fused.why_not(module, x) is None
    assert kernels_of(lambda: results.append(module(x)), passes)
    with use_fused(False):
        assert not kernels_of(lambda: results.append(module(x)), passes)
    assert unfuse(module) is module
    assert type(module) is make
    assert not kernels_of(lambda: results.append(module(x)), passes)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_fusing_changes_classes_alone_and_survives_copies_and_files(tmp_path: Path) -> None:
    model = resnet18(CBAM, planes=16, num_classes=5)
    before, names = copy.deepcopy(model.state_dict()), [name for name, _ in model.named_modules()]
    fuse(model, report=None)
    assert [name for name, _ in model.named_modules()] == names
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    torch.save(model, tmp_path / "fused.pt")
    for other in (copy.deepcopy(model), torch.load(tmp_path / "fused.pt", weights_only=False)):
        assert type(other.layer1[0]) is fused.FusedBasicBlock
        assert type(other.layer1[0].attention) is fused.FusedCBAM
        assert other.layer1[0].attention.channel_attention is not model.layer1[0].attention.channel_attention
    fuse(model, report=None)  # a second time changes nothing
    assert type(model.layer1[0].attention) is fused.FusedCBAM
    kinds = {type(module) for module in unfuse(model).modules()}
    assert not {kind for kind in kinds if kind.__name__.startswith("Fused")}


def test_the_report_says_what_was_taken_and_what_was_left_and_why() -> None:
    model, lines = resnet18(CBAM, planes=16, num_classes=5), []
    model.layer1[1].attention = EfficientChannelAttention(16)
    model.layer2[0].attention = CBAM(32, pool="lse")
    model.layer2[1].attention = nn.Sequential(SqueezeExcitation(32))
    fuse(model, report=lines.append)
    assert len(lines) == 8
    assert lines[0] == "layer1.0.attention: CBAM is fused, with the addition and the ReLU of its block"
    assert lines[1].startswith("layer1.1.attention: EfficientChannelAttention is left as written: ")
    assert lines[2].startswith("layer2.0.attention: CBAM is left as written: the pools are lse, avg, max")
    assert lines[3] == "layer2.1.attention.0: SqueezeExcitation is fused"
    assert type(model.layer1[1].attention) is EfficientChannelAttention
    fuse(SqueezeExcitation(16), report=lines.append)
    assert lines[-1] == "SqueezeExcitation: SqueezeExcitation is fused"


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ResNet contains no attention of cbam_lite: .*insert_attention"):
        fuse(resnet18())
    unfuse(resnet18())  # has nothing to take out


def replaced(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    module.set_submodule(name, part)
    return module


def with_hook(module: nn.Module, name: str) -> nn.Module:
    module.get_submodule(name).register_forward_hook(lambda *_: None)
    return module


class Mine(CBAM):
    """A class of a user's own, whose forward pass may be another."""


class MineInside(SpatialAttention):
    def attention(self, F: Tensor) -> Tensor:
        return super().attention(F) / 2


class Descriptors(nn.Module):
    def forward(self, F: Tensor) -> Tensor:
        return torch.cat([F.mean(1, keepdim=True), F.std(1, keepdim=True)], 1)


def map_4d(**options: object) -> Tensor:
    return torch.randn(2, 16, 6, 5, device=DEVICE, **options)


# What the kernels do not cover: a module, a map, and a word of the reason.
MATRIX = {
    "ECA": (lambda: EfficientChannelAttention(16), map_4d, "has no fused kernels"),
    "spatial alone": (lambda: SpatialAttention(16), map_4d, "has no fused kernels"),
    "a subclass": (lambda: Mine(16), map_4d, "Mine has no fused kernels"),
    "spatial-first": (lambda: CBAM(16, order="spatial-first"), map_4d, "has no fused kernels"),
    "parallel": (lambda: CBAM(16, order="parallel"), map_4d, "has no fused kernels"),
    "other channel pools": (lambda: CBAM(16, pool="avg+lse"), map_4d, "the pools are avg, lse"),
    "other squeeze": (lambda: SqueezeExcitation(16, pool="lp"), map_4d, "the pools are lp"),
    "other place pools": (lambda: CBAM(16, spatial_pool="avg+lp"), map_4d, "the pools are"),
    "learnt descriptor": (lambda: CBAM(16, spatial_pool="conv"), map_4d, "learnt descriptor"),
    "a subclass inside": (
        lambda: replaced(CBAM(16), "spatial_attention", MineInside(16)),
        map_4d,
        "has no fused kernels",
    ),
    "other descriptors": (
        lambda: replaced(CBAM(16), "spatial_attention.descriptors", Descriptors()),
        map_4d,
        "replaced",
    ),
    "a flat kernel": (
        lambda: replaced(CBAM(16), "spatial_attention.conv", nn.Conv2d(2, 1, (3, 7), padding=(1, 3))),
        map_4d,
        "replaced",
    ),
    "two gates": (lambda: replaced(CBAM(16), "spatial_attention", SpatialAttention(16, gate="tanh")), map_4d, "gates"),
    "a part replaced": (
        lambda: replaced(CBAM(16), "channel_attention.W_1", nn.Sequential(nn.Linear(1, 16))),
        map_4d,
        "replaced",
    ),
    "another norm": (lambda: replaced(CBAM(16), "spatial_attention.norm", nn.InstanceNorm2d(1)), map_4d, "replaced"),
    "another conv": (
        lambda: replaced(CBAM(16), "spatial_attention.conv", nn.Conv2d(2, 1, 3, padding=2, dilation=2)),
        map_4d,
        "replaced",
    ),
    "a hook": (lambda: with_hook(CBAM(16), "channel_attention.gate"), map_4d, "a hook"),
    "a hook on itself": (lambda: with_hook(SqueezeExcitation(16), ""), map_4d, "a hook"),
    "float64": (lambda: CBAM(16).double(), lambda: map_4d(dtype=torch.float64), "float64"),
    "no image": (lambda: CBAM(16), lambda: map_4d()[:0], "empty"),
    "a window of a map": (lambda: CBAM(16), lambda: map_4d()[:, :, 1:, 1:], "neither contiguous nor channels_last"),
    "turned": (lambda: SqueezeExcitation(16), lambda: map_4d().transpose(2, 3), "neither contiguous nor channels_last"),
}


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("case", MATRIX)
def test_fallback_matrix(case: str, passes: list[str]) -> None:
    """What the kernels do not cover takes the plain path, without a warning, and says why when asked."""
    make, make_map, reason = MATRIX[case]
    module, x = fuse(make().to(DEVICE).eval(), report=None), make_map()
    assert reason in fused.why_not(module, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = []
        assert not kernels_of(lambda: results.append(module(x)), passes)
        with use_fused(False):
            assert torch.equal(results[0], module(x))
    with pytest.raises(ValueError, match="no fused kernel for this"):
        fused.attend(module, x)


@pytest.mark.usefixtures("everywhere")
def test_reasons_outside_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = fuse(CBAM(16).to(DEVICE), report=None), map_4d()
    assert "the shortcut is (2, 16, 1, 1)" in fused.why_not(module, x, x[:, :, :1, :1])
    with use_fused(False):
        assert "use_fused(False)" in fused.why_not(module, x)
    assert fused.why_not(module, x) is None
    for broken, reason in [
        ({"HAS_TRITON": False}, "Triton is not installed"),
        ({"refine": lambda *_: 1 / 0}, "Triton does not run on this device: ZeroDivisionError"),
        ({"refine": lambda F, *_: F}, "gave another result than PyTorch"),
    ]:
        reasons.tried.clear()
        with monkeypatch.context() as patch:
            for name, value in broken.items():
                patch.setattr(reasons, name, value)
            assert reason in fused.why_not(module, x)
        reasons.tried.clear()
    assert "4,294,967,296" in reasons.of_map(torch.empty(1, 4, 2**15, 2**15, device="meta"), None)
    assert reasons.of_map(torch.empty(2, 4, 2**14, 2**14, device="meta"), None) is None
    monkeypatch.undo()
    assert fused.why_not(module.to("meta"), x.to("meta")) == "the map is on meta: the kernels need cuda"


@pytest.mark.usefixtures("everywhere")
def test_a_hook_on_all_modules_is_respected(passes: list[str]) -> None:
    module, called = fuse(SqueezeExcitation(16, 4).to(DEVICE), report=None), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: called.append(type(module).__name__))
    try:
        assert not kernels_of(lambda: module(map_4d()), passes)
    finally:
        handle.remove()
    assert "Gate" in called
    assert kernels_of(lambda: module(map_4d()), passes)


def test_the_switch_can_be_used_again() -> None:
    off = use_fused(False)
    assert not fused.switched_on
    for _ in range(2):
        with off:
            assert not fused.switched_on
        assert fused.switched_on
    with use_fused(False), use_fused(True):
        assert fused.switched_on
    assert fused.switched_on


@pytest.mark.usefixtures("everywhere")
def test_transforms_take_the_plain_path(passes: list[str]) -> None:
    module, x = fuse(SqueezeExcitation(16, 4).to(DEVICE).eval(), report=None), map_4d()
    assert not kernels_of(lambda: torch.vmap(module)(x[None]), passes)
    assert not kernels_of(lambda: torch.func.jvp(lambda x: module(x).sum(), (x,), (x,)), passes)
    assert not kernels_of(lambda: torch.export.export(module, (x,)), passes)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        assert not kernels_of(lambda: module(dual), passes)
    assert kernels_of(lambda: module(x), passes)


@pytest.mark.usefixtures("everywhere")
def test_gates_are_recorded_on_the_plain_path(passes: list[str]) -> None:
    module, x = fuse(CBAM(16).to(DEVICE), report=None), map_4d()
    with record_attention(module) as maps:
        assert not kernels_of(lambda: module(x), passes)
    assert len(maps) == 2
    assert kernels_of(lambda: module(x), passes)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("make", [SqueezeExcitation, CBAM])
def test_errors_are_those_of_the_plain_path(make) -> None:
    for x, kind, message in [
        (sample(2, 8, 6, 5), ValueError, "built for channels=16, got C=8"),
        (map_4d().bfloat16(), TypeError, "use module.to"),
        (map_4d()[0], ValueError, "add the batch dimension"),
        ([1.0, 2.0], TypeError, "use torch.as_tensor"),
    ]:
        with pytest.raises(kind, match=message):
            fuse(make(16).to(DEVICE), report=None)(x)
        with pytest.raises((kind, ValueError)):
            fused.attend(make(16).to(DEVICE), x)
    with pytest.raises(ValueError, match="one place"):
        fuse(CBAM(16).to(DEVICE), report=None)(sample(1, 16, 1, 1))


@pytest.mark.usefixtures("everywhere")
def test_every_block_of_a_network_ends_in_one_operator(passes: list[str]) -> None:
    model, image = resnet18(CBAM, planes=16, stem="small", num_classes=5).to(DEVICE), sample(2, 3, 16, 16)
    twin = copy.deepcopy(model)
    y = fuse(model, report=None)(image)
    assert passes.count("refine") == 8 * 3  # F, shortcut and output in each of the 8 blocks
    with use_fused(False):
        expected = twin(image)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    y.square().sum().backward()
    expected.square().sum().backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert error(p.grad, q.grad) < 1e-3, name


@pytest.mark.usefixtures("everywhere")
def test_another_activation_or_a_hook_in_the_block_is_respected(passes: list[str]) -> None:
    block = fuse(resnet50(SqueezeExcitation, planes=16), report=None).layer1[1].to(DEVICE).eval()
    x = sample(1, 64, 5, 5)
    assert kernels_of(lambda: block(x), passes)
    assert passes.count("refine") == 3
    block.relu = nn.SiLU()
    block(x)
    passes.clear()
    block(x)
    assert passes.count("refine") == 2  # the attention alone


# ---- without a GPU, and on one --------------------------------------------------------------------------------------


def run_python(program: str, **environment: str) -> str:
    """In a fresh interpreter, where Triton has not been imported yet."""
    inherited = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=inherited | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_does_not_import_triton() -> None:
    program = (
        "import sys, torch; before = 'triton' in sys.modules; import cbam_lite; print(before, 'triton' in sys.modules)"
    )
    before, after = run_python(program).split()
    assert before == after


def test_the_environment_variable_turns_it_off() -> None:
    program = "from cbam_lite.speed import fused; print(fused.switched_on)"
    assert run_python(program, CBAM_LITE_FUSED="0") == "False"
    assert run_python(program) == "True"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_on_a_cpu_without_the_interpreter_the_error_names_both_ways_out() -> None:
    program = """
import torch
from cbam_lite import CBAM
from cbam_lite.speed import fused
try:
    fused.attend(CBAM(16), torch.randn(1, 16, 4, 4))
except RuntimeError as error:
    print(error)
"""
    message = run_python(program)
    assert "F.cuda()" in message
    assert "TRITON_INTERPRET=1" in message


def test_the_kernels_compile_for_gpus_that_are_not_here() -> None:
    """To the machine code of a T4 and an H100, for both layouts, without a register spilled to memory."""
    sizes = run_python(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import gpu_code; gpu_code.main()"
    )
    lines = sizes.splitlines()
    assert len(lines) == 6 * (2 * 5 + 2 + 2)
    for line in lines:
        kernel, layout, dtype, capability, code, spilled = line.split()
        assert int(code) > 0, line
        assert int(spilled) == 0, line


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.mem_get_info()[0] < 40e9, reason="there is no GPU with 40 GB to spare"
)
def test_more_than_two_to_the_31_numbers_on_a_gpu() -> None:
    device = torch.device("cuda")
    B, C, size = 5, 256, 1300  # 2.2e9 numbers, 4.3 GB
    x = torch.zeros(B, C, size, size, device=device, dtype=torch.bfloat16)
    x[-1] = torch.randn(C, size, size, device=device, dtype=torch.bfloat16)
    module = CBAM(C).to(device).eval()
    with torch.autocast("cuda", torch.bfloat16):
        y = fused.attend(module, x.requires_grad_())
        y.backward(x.detach())
        last = x.detach()[-1:].requires_grad_()
        with use_fused(False):
            expected = module(last)
        expected.backward(last.detach())
    assert error(y[-1:, :, ::7, ::7], expected[:, :, ::7, ::7]) < TOLERANCES[torch.bfloat16]
    assert error(x.grad[-1:, :, ::7, ::7], last.grad[:, :, ::7, ::7]) < 4 * TOLERANCES[torch.bfloat16]
    assert not y[:-1].any()
