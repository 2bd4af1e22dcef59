"""See the gates of a network while it runs."""

import contextlib
import functools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cbam_lite.attention.parts import Gate
from cbam_lite.attention.spatial_attention import SpatialAttention


class AttentionMaps(Mapping[str, Tensor]):
    """The recorded gates by name, in the order in which they first ran.

    A channel gate is a tensor (B, C), a spatial gate (B, H, W), with values as the gate function gave them. The name
    is that of the attention module, ``layer1.0.bn2.attention.channel_attention`` for example; a module that runs a
    second time in the same pass is recorded as ``name@2``. Several passes are joined along the batch.
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

    def _add(self, name: str, spatial: bool, detach: bool, _gate: nn.Module, _inputs: object, gate: Tensor) -> None:
        """The forward hook of one gate."""
        times = self._ran_in_this_pass[name] = self._ran_in_this_pass.get(name, 0) + 1
        name = name if times == 1 else f"{name}@{times}"
        gate = gate.squeeze(1) if spatial else gate.flatten(1)
        self._passes.setdefault(name, []).append(gate.detach() if detach else gate)
        if spatial:
            self._spatial.add(name)


@contextlib.contextmanager
def record_attention(model: nn.Module, *, detach: bool = True) -> Iterator[AttentionMaps]:
    """Record every gate of `model` while the block runs; the model itself is left as it was.

    Args:
        model: any network that contains modules of this package. A compiled model runs uncompiled inside the block,
            because compiled code skips what listens to it.
        detach: False keeps the gates in the autograd graph, for a loss on the attention itself.

    Yields:
        `AttentionMaps`: named channel gates (B, C) and spatial gates (B, H, W).

    Raises:
        ValueError: the model contains no attention of this package.
        TypeError: the model is a `DataParallel`.

    Example:
        >>> with record_attention(model) as maps:
        ...     model(images)
        >>> maps.spatial["layer4.1.bn2.attention.spatial_attention"].shape
        torch.Size([8, 7, 7])
    """
    if isinstance(model, nn.DataParallel):
        raise TypeError("DataParallel runs copies of the model, whose gates would mix: record model.module instead")
    compiled = isinstance(model, torch._dynamo.OptimizedModule)
    network: nn.Module = model._orig_mod if compiled else model  # type: ignore[assignment]
    recorded = [(name, m) for name, m in network.named_modules() if isinstance(getattr(m, "gate", None), Gate)]
    if not recorded:
        raise ValueError(
            f"{type(network).__name__} contains no attention of cbam_lite: build it with CBAM, SqueezeExcitation, ... "
            "or call insert_attention(model, CBAM) first"
        )
    maps = AttentionMaps()
    handles = [network.register_forward_pre_hook(lambda _model, _inputs: maps._new_pass())]
    for name, module in recorded:
        keep = functools.partial(maps._add, name or type(module).__name__, isinstance(module, SpatialAttention), detach)
        handles.append(module.gate.register_forward_hook(keep))
    try:
        with torch.compiler.set_stance("force_eager"):  # a part of the model may be compiled, too
            yield maps
    finally:
        for handle in handles:
            handle.remove()
