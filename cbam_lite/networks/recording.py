"""See the gates of a network while it runs."""

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.attention.parts import Gate
from cbam_lite.attention.spatial_attention import NoSpatialAttention, SpatialAttention
from cbam_lite.checks import a_module
from cbam_lite.networks.insertion import matching


class AttentionMaps(Mapping[str, Tensor]):
    """The recorded gates by name, in the order in which they first ran.

    A channel gate is a tensor (B, C), a spatial gate (B, H, W), with values as the gate function gave them. The name
    is that of the attention module, ``layer1.0.bn2.attention.channel_attention`` for example; a module that runs a
    second time in the same pass is recorded as ``name@2``. Several passes are joined along the batch.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> with record_attention(model) as maps:
        ...     logits = model(torch.rand(4, 3, 64, 64))
        >>> maps.spatial["layer2.0.attention.spatial_attention"].shape
        torch.Size([4, 16, 16])
    """

    def __init__(self) -> None:
        self._passes: dict[str, list[Tensor]] = {}
        self._spatial: set[str] = set()
        self._ran_in_this_pass: dict[str, int] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._passes:
            raise KeyError(f"no gate was recorded under {name!r}; recorded: {', '.join(self) or 'none, run the model'}")
        passes = self._passes[name]
        if len({gate.shape[1:] for gate in passes}) > 1:
            shapes = [tuple(gate.shape) for gate in passes]
            raise ValueError(f"{name} ran on maps of several sizes, {shapes}: record one size at a time")
        return torch.cat(passes)

    def __contains__(self, name: object) -> bool:
        return name in self._passes

    def __iter__(self) -> Iterator[str]:
        return iter(self._passes)

    def __len__(self) -> int:
        return len(self._passes)

    @property
    def channel(self) -> dict[str, Tensor]:
        """The channel gates alone, each (B, C)."""
        return {name: self[name] for name in self if name not in self._spatial}

    @property
    def spatial(self) -> dict[str, Tensor]:
        """The spatial gates alone, each (B, H, W)."""
        return {name: self[name] for name in self if name in self._spatial}

    def _new_pass(self) -> None:
        self._ran_in_this_pass.clear()

    def _add(self, name: str, spatial: bool, gate: Tensor) -> None:
        times = self._ran_in_this_pass[name] = self._ran_in_this_pass.get(name, 0) + 1
        name = name if times == 1 else f"{name}@{times}"
        self._passes.setdefault(name, []).append(gate.squeeze(1) if spatial else gate.flatten(1))
        if spatial:
            self._spatial.add(name)


@contextlib.contextmanager
def record_attention(
    model: nn.Module, *, detach: bool = True, gates: str | Sequence[str] = ()
) -> Iterator[AttentionMaps]:
    """Record every gate of `model` while the block runs. Nothing is hung into the model, so copies of it are clean.

    Modules of this package are recorded, and modules of your own that end in its `Gate` or have, as ours do, a method
    ``attention`` that gives a gate. `gates` names others. What is not ours is sorted by its shape: (B, C, 1, 1) or
    (B, C) is a channel gate, (B, 1, H, W) a spatial one; (B, 1, 1, 1) counts as a channel gate.

    Args:
        model: any network that contains attention. A compiled model runs uncompiled inside the block, because compiled
            code skips what listens to it.
        detach: False keeps the gates in the autograd graph, for a loss on the attention itself.
        gates: names of more modules, whose output is a gate, as in ``model.named_modules()``, with ``*`` as a wild
            card: ``"layer*.sigmoid"``.

    Yields:
        `AttentionMaps`: named channel gates (B, C) and spatial gates (B, H, W).

    Raises:
        ValueError: the model contains no attention, `gates` matches nothing, or what should be a gate has no gate's
            shape.
        TypeError: the model is no module, or contains a `DataParallel`.
        RuntimeError: the model runs inside a transform of `torch.func`, such as vmap.

    Example:
        >>> model = insert_attention(torchvision.models.resnet18(), CBAM, report=None)
        >>> with record_attention(model) as maps:
        ...     logits = model(torch.rand(8, 3, 224, 224))
        >>> maps.spatial["layer4.1.bn2.attention.spatial_attention"].shape
        torch.Size([8, 7, 7])
    """
    compiled = isinstance(a_module("model", model), torch._dynamo.OptimizedModule)
    network: nn.Module = model._orig_mod if compiled else model  # type: ignore[assignment]
    if any(isinstance(module, nn.DataParallel) for module in network.modules()):
        raise TypeError("DataParallel runs copies of the model, whose gates would mix: record model.module instead")
    outputs = giving_gates(network, gates)
    methods = having_gates(network)
    if not outputs and not methods:
        raise ValueError(
            f"{type(network).__name__} contains no attention of cbam_lite: build it with CBAM, SqueezeExcitation, ... "
            "or call insert_attention(model, CBAM) first; for a module of your own, name what gives the gate with "
            "gates=..."
        )
    maps = AttentionMaps()

    def keep(name: str, owner: nn.Module, gate: Tensor) -> None:
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                f"{name} runs inside a transform of torch.func, such as vmap or grad, whose tensors end with it: "
                "record outside of it, one model at a time"
            )
        maps._add(name, is_spatial(name, owner, gate), gate.detach() if detach else gate)

    def begin(module: nn.Module, _inputs: object) -> None:
        if module is network:
            maps._new_pass()

    def output(module: nn.Module, _inputs: object, gate: Tensor) -> None:
        if module in outputs:
            keep(*outputs[module], gate)

    def method(module: nn.Module, gate: Any) -> None:
        if module in methods and has_gate_shape(gate):
            keep(methods[module], module, gate)

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())  # compiled wrappers fire hooks, too, which none of ours minds
        warnings.filterwarnings("ignore", message="Using `torch.compile.*global hooks")
        stack.enter_context(nn.modules.module.register_module_forward_pre_hook(begin))
        stack.enter_context(nn.modules.module.register_module_forward_hook(output))
        for definer in dict.fromkeys(definer_of_attention(type(module)) for module in methods):
            stack.enter_context(overhearing(definer, method))
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # a part of the model may be compiled, too
        yield maps


# ---- who gives a gate -----------------------------------------------------------------------------------------------


def giving_gates(network: nn.Module, named: str | Sequence[str]) -> dict[nn.Module, tuple[str, nn.Module]]:
    """Modules whose output is a gate, each with its name in the record and the attention module that it belongs to."""
    found = {
        module.gate: (name or type(module).__name__, module)
        for name, module in network.named_modules()
        if isinstance(getattr(module, "gate", None), Gate)
    }
    for name, module in network.named_modules():
        if isinstance(module, Gate):  # of a module that calls it by another name
            found.setdefault(module, (name or type(module).__name__, module))
    for name in matching(network, named, "gates") if named else ():
        module = network.get_submodule(name)
        found.setdefault(module, (name, module))
    return found


def having_gates(network: nn.Module) -> dict[nn.Module, str]:
    """Modules of others with a method `attention`; ours end in a `Gate`, and have none where there is no gate."""
    return {
        module: name or type(module).__name__
        for name, module in network.named_modules()
        if inspect.isfunction(getattr(type(module), "attention", None))
        and not isinstance(module, NoSpatialAttention)
        and not any(isinstance(part, Gate) for part in module.modules())
    }


def has_gate_shape(gate: Any) -> bool:
    """Whether something is (B, C), (B, C, 1, 1) or (B, 1, H, W)."""
    if not isinstance(gate, Tensor) or gate.dim() not in (2, 4):
        return False
    return gate.shape[1] == 1 or gate.shape[2:].numel() == 1  # of (B, C) nothing is left, and the product of that is 1


def is_spatial(name: str, owner: nn.Module, gate: Tensor) -> bool:
    """Whether a gate is one number for each place: by its shape; of one number alone, by the module."""
    if not has_gate_shape(gate):
        shape = tuple(gate.shape) if isinstance(gate, Tensor) else type(gate).__name__
        raise ValueError(f"{name} gives {shape}, which is no gate: expected (B, C, 1, 1), (B, C) or (B, 1, H, W)")
    if gate.shape[1:].numel() == 1:
        return isinstance(owner, SpatialAttention)
    return gate.shape[1] == 1


# ---- the method `attention` of a class ------------------------------------------------------------------------------


def definer_of_attention(kind: type[nn.Module]) -> type[nn.Module]:
    """The class, among `kind` and those it inherits from, whose method `attention` is called."""
    return next(parent for parent in kind.__mro__ if "attention" in vars(parent))


@contextlib.contextmanager
def overhearing(definer: Any, heard: Callable[[nn.Module, Any], None]) -> Iterator[None]:
    """Inside, `heard` gets what the method `attention` of a class gives. Instances of the class stay as they are."""
    written = definer.attention

    @functools.wraps(written)
    def attention(self: nn.Module, *arguments: Any, **options: Any) -> Any:
        gate = written(self, *arguments, **options)
        if definer_of_attention(type(self)) is definer:  # else an heir, which called super().attention
            heard(self, gate)
        return gate

    definer.attention = attention
    try:
        yield
    finally:
        definer.attention = written
