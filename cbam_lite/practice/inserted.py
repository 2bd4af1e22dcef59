"""Attention inserted into a network that is there already: one module for each residual block, before the addition.

The judge knows which maps the last norms of its small networks give. So what each probe got says where it stands, and
the outputs with scaling probes, computed by hooks on a copy of the plain network, are the proof.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cbam_lite.practice.plain_resnets import plain
from cbam_lite.practice.probes import Log, Probe
from cbam_lite.practice.trial import Refused, Trial, shake


class Plain(NamedTuple):
    """A network before insertion, and what it computes for one batch of images."""

    kind: str
    model: nn.Module
    images: Tensor  # (B, 3, H, W)
    y: Tensor  # (B, 5)
    blocks: list[str]  # names of the residual blocks, in order
    maps: dict[tuple[str, str], Tensor]  # (name of the block, place) -> the map there


PLACES = {  # a map that a probe got -> the mistake, or ""
    "last norm": "",
    "sum": "after_addition",
    "output": "after_addition",
    "shortcut": "attention_on_shortcut",
    "input": "attention_on_shortcut",
    "last conv": "attention_before_last_norm",
    "norm": "not_last_norm",
    "relu": "attention_after_relu",
    "conv": "not_last_norm",
    "outside": "outside_blocks",
}
IN_WORDS = {
    "after_addition": "the output of the block, or the sum",
    "attention_on_shortcut": "the shortcut",
    "attention_before_last_norm": "what the last convolution gives, before its norm",
    "not_last_norm": "what a step in the middle of the block gives",
    "attention_after_relu": "what a ReLU in the middle of the block gives",
    "outside_blocks": "a map outside the residual blocks",
}


def close(a: Tensor, b: Tensor, tolerance: float = 1e-6) -> bool:
    return a.shape == b.shape and bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


# ---- the plain network -----------------------------------------------------------------------------------------------


def residual_blocks(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if hasattr(m, "conv2") and hasattr(m, "bn2")}


def last_norm(block: nn.Module) -> nn.Module:
    norm: nn.Module = getattr(block, "bn3", None) or block.get_submodule("bn2")
    return norm


def prepared(model: nn.Module, kind: str) -> Plain:
    """Weights far from zero, float64, evaluation mode; the map of each place in each block is remembered."""
    model = model.double().eval()
    shake(model, seed=3, scale=2.0)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.abs_().mul_(2)
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    blocks = residual_blocks(model)
    maps: dict[tuple[str, str], Tensor] = {}
    hooks = []

    def keep(key: tuple[str, str]) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: Any, output: Tensor) -> None:
            maps.setdefault(key, output.detach().clone())

        return hook

    for name, block in blocks.items():
        hooks.append(block.register_forward_pre_hook(lambda _, i, n=name: maps.update({(n, "input"): i[0].clone()})))
        hooks.append(block.register_forward_hook(keep((name, "output"))))
        last = last_norm(block)
        for part, m in block.named_children():
            place = "norm" if part.startswith("bn") else "conv" if part.startswith("conv") else ""
            if m is last or part == ("conv3" if hasattr(block, "conv3") else "conv2"):
                place = f"last {place}"
            place = "shortcut" if part == "downsample" else place
            if place:
                hooks.append(m.register_forward_hook(keep((name, place if "last" in place else f"{place} {part}"))))
    for name in ("conv1", "bn1", "avgpool", "fc", "maxpool"):
        if isinstance(layer := getattr(model, name, None), nn.Module):
            hooks.append(layer.register_forward_hook(keep((name, "outside"))))
    with torch.no_grad():
        y = model(images)
    for hook in hooks:
        hook.remove()
    for name in blocks:
        shortcut = maps.get((name, "shortcut downsample"), maps[name, "input"])
        maps[name, "sum"] = maps[name, "last norm"] + shortcut
        for key in [k for k in maps if k[0] == name and k[1].startswith("norm")]:
            maps[name, f"relu {key[1]}"] = maps[key].relu()
    return Plain(kind, model, images, y, list(blocks), maps)


def scaled(p: Plain, scales: list[Tensor]) -> Tensor:
    """The right output if the k-th block's F is multiplied by the k-th scale."""
    model = copy.deepcopy(p.model)
    for block, s in zip(residual_blocks(model).values(), scales, strict=True):
        last_norm(block).register_forward_hook(lambda m, i, out, s=s: out * s)
    with torch.no_grad():
        return model(p.images)


# ---- calling ---------------------------------------------------------------------------------------------------------


def called(trial: Trial, insert: Any, model: nn.Module, log: Log) -> nn.Module:
    """The network after insertion: what came back, or the model itself if nothing came back."""
    try:
        names = [p.name.lower() for p in inspect.signature(insert).parameters.values()]
    except (TypeError, ValueError):
        names = []
    swapped = len(names) > 1 and "att" in names[0] and "model" not in names[0]
    inputs: tuple[Any, ...] = (log.attention, model) if swapped else (model, log.attention)
    silent = {"report": None} if "report" in names else {}
    try:
        found = trial.run(insert, *inputs, **silent)
    except Refused as refusal:
        if log.not_made:
            trial.refuse("attention_not_made", f"{log.not_made}: it is a function channels -> module")
        raise refusal
    if found is None and not log.made:
        trial.refuse("unfilled", "there is nothing to check yet: nothing came back, and attention was never called")
    if found is not None and not isinstance(found, nn.Module):
        trial.refuse("not_a_module", f"{type(found).__name__} came back, not the network")
    return model if found is None else found


def output(trial: Trial, model: nn.Module, log: Log, images: Tensor, scaling: bool) -> Tensor:
    log.calls, log.scaling = [], scaling
    with torch.no_grad():
        y = trial.run(model, images.clone())
    if not isinstance(y, Tensor):
        trial.refuse("not_identity", f"the network gives {type(y).__name__} after the insertion, not its output")
    return y


# ---- judging ---------------------------------------------------------------------------------------------------------


def identity_insertion(trial: Trial, thing: Any) -> str:
    """insert(model, attention) -> model, with attention(channels) before the addition of each residual block."""
    if isinstance(thing, nn.Module) or not callable(thing):
        trial.refuse("not_a_function", f"a function (model, attention) is expected, not {type(thing).__name__}")
    family = family_of(trial, thing)
    conventions = []
    for kind in ("basic", "bottleneck"):
        model = plain(family, kind)
        assert model is not None
        p = prepared(model, kind)
        conventions.append(one_network(trial, thing, p))
    modes_and_dtypes(trial, thing, family)
    return conventions[0]


def family_of(trial: Trial, thing: Any) -> str:
    """Which library's blocks the function knows: ours of plain PyTorch, those of cbam_lite or of torchvision."""
    for family in ("plain", "cbam_lite", "torchvision"):
        model, log = plain(family, "basic"), Log()
        if model is None:
            continue
        try:
            net = called(trial, thing, model, log)
            output(trial, net.eval(), log, torch.zeros(1, 3, 16, 24), scaling=False)
        except Refused:
            continue
        if log.calls:
            return family
    return "plain"


def one_network(trial: Trial, thing: Any, p: Plain) -> str:
    log = Log()
    model = copy.deepcopy(p.model)
    n = len(p.blocks)
    trial.tries(f"a ResNet of {n} {p.kind} blocks, attention = the identity: the same output, one module in each block")
    net = called(trial, thing, model, log)
    changed(trial, p, net)
    if net.training != p.model.training or any(m.training for m in old_parts(net)):
        trial.refuse("mode_changed", "the network was in evaluation mode, now it is in training mode")
    net.eval()
    dtype_kept(trial, net, torch.float64)
    y = output(trial, net, log, p.images, scaling=False)
    places(trial, p, log)
    if not close(y, p.y):
        difference = float((y - p.y).abs().max()) if y.shape == p.y.shape else float("nan")
        trial.refuse("not_identity", f"with the identity as attention the output changes by up to {difference:.4f}")
    trial.tries(
        f"{p.kind} blocks, attention = a number s from 0.5 to 1.5 for each channel: relu(x + s F) in each block"
    )
    y = output(trial, net, log, p.images, scaling=True)
    wanted = scaled(p, [probe.scale.detach().to(p.y.dtype) for probe, _ in log.calls])
    convention = ""
    if close(y, p.y) and blended(trial, net, log, p):
        convention = "it starts as the identity, whatever the attention"
    elif close(y, p.y):
        trial.refuse("attention_unused", "attention gets the maps, but what it gives back changes nothing")
    elif not close(y, wanted):
        difference = float((y - wanted).abs().max())
        trial.refuse(
            "not_identity", f"the output is not that of relu(x + s F) in each block, by up to {difference:.4f}"
        )
    trial.tries(f"{p.kind} blocks: the new weights are parameters of the network and get gradients")
    trainable(trial, net, log, p, bool(convention))
    return convention


def old_parts(net: nn.Module) -> list[nn.Module]:
    """Modules that are no probes and were there before: those with weights."""
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]


def changed(trial: Trial, p: Plain, net: nn.Module) -> None:
    """All weights and running statistics of before must be there again, under any name."""
    new = [*net.parameters(), *net.buffers()]
    for name, old in [*p.model.named_parameters(), *p.model.named_buffers()]:
        if not any(t.shape == old.shape and torch.allclose(t.detach().to(old.dtype), old, rtol=1e-6) for t in new):
            trial.refuse("weights_changed", f"no parameter or buffer of the network holds what {name} held before")


def dtype_kept(trial: Trial, net: nn.Module, dtype: torch.dtype) -> None:
    for m in old_parts(net):
        for name, tensor in [*m.named_parameters(recurse=False), *m.named_buffers(recurse=False)]:
            if tensor.is_floating_point() and tensor.dtype != dtype:
                trial.refuse("dtype_lost", f"a {name} of the network was {dtype}, now it is {tensor.dtype}")


def places(trial: Trial, p: Plain, log: Log) -> None:
    """Each probe must have got what the last norm of its block gives; what it got instead names the place."""
    met: list[str] = []
    if log.odd:
        trial.refuse("wrong_channels", f"{log.odd}: attention(channels) needs the channels of the block's output")
    if not log.calls:
        made = f"attention(channels) was called {len(log.made)} times" if log.made else "attention was never called"
        trial.refuse("attention_not_called", f"{made}, and no module of it gets a map when the network runs")
    if len(log.calls) == len(p.blocks) and all(at_the_input(p, F) for _, F in log.calls):
        trial.refuse("attention_on_input", "in each block, attention got the block's input")
    for _, F in log.calls:
        block, place = where(p, F)
        key = PLACES.get(first_word(place), "")
        if place == "":
            trial.refuse(
                "not_identity", f"an attention got a map {tuple(F.shape)} that is nowhere in the plain network"
            )
        if key:
            trial.refuse(key, f"in {block}, attention got {IN_WORDS[key]}")
        if block in met:
            trial.refuse("attention_twice", f"{block} has two attentions")
        met.append(block)
    missing = [name for name in p.blocks if name not in met]
    if missing:
        trial.refuse("only_some_blocks", f"{len(met)} of {len(p.blocks)} blocks have attention; {missing[0]} has none")
    probes = [id(probe) for probe, _ in log.calls]
    if len(set(probes)) < len(probes):
        trial.refuse("one_shared_module", f"{len(probes)} blocks share {len(set(probes))} modules of attention")


def first_word(place: str) -> str:
    return place if place.startswith("last") else place.split(" ")[0]


def where(p: Plain, F: Tensor) -> tuple[str, str]:
    """The block and the place of a map; the right place first where two places hold the same map."""
    ranked = sorted(p.maps, key=lambda key: (key[1] != "last norm", key[1] == "input"))
    return next((key for key in ranked if close(F, p.maps[key])), ("", ""))


def at_the_input(p: Plain, F: Tensor) -> bool:
    return any(close(F, p.maps[name, "input"]) for name in p.blocks)


def blended(trial: Trial, net: nn.Module, log: Log, p: Plain) -> bool:
    """Whether new parameters, such as a factor that starts at 0, get a gradient: then attention can come in."""
    before = {id(q) for probe, _ in log.calls for q in probe.parameters()}
    shapes = [tuple(q.shape) for q in p.model.parameters()]
    net.zero_grad()
    trial.run(net, p.images).square().sum().backward()
    new = [q for q in net.parameters() if id(q) not in before]
    for shape in shapes:
        match = next((q for q in new if tuple(q.shape) == shape), None)
        new = [q for q in new if q is not match]
    return any(q.grad is not None and bool(q.grad.abs().max() > 0) for q in new)


def trainable(trial: Trial, net: nn.Module, log: Log, p: Plain, starts_silent: bool) -> None:
    parts = set(map(id, net.modules()))
    if any(id(probe) not in parts for probe, _ in log.calls):
        trial.refuse("not_registered", "net.modules() does not hold the attention: an optimiser would not train it")
    probes: list[Probe] = [probe for probe, _ in log.calls]
    if not all(probe.scale.requires_grad for probe in probes):
        trial.refuse("frozen", "requires_grad of the new weights is False")
    net.zero_grad()
    trial.run(net, p.images).square().sum().backward()
    if not starts_silent and any(probe.scale.grad is None for probe in probes):
        trial.refuse("detached", "no gradient reaches the new weights: is there a detach() or no_grad?")


def modes_and_dtypes(trial: Trial, thing: Any, family: str) -> None:
    """A network in training mode and float32 stays so."""
    trial.tries("a network in training mode, float32: it stays so, and its running statistics are not touched")
    model = plain(family, "basic")
    assert model is not None
    model.train()
    before = Plain("basic", copy.deepcopy(model), torch.zeros(1), torch.zeros(1), [], {})
    net = called(trial, thing, model, Log())
    if not net.training or not all(m.training for m in old_parts(net)):
        trial.refuse("mode_changed", "the network was in training mode, now it is in evaluation mode")
    changed(trial, before, net)
    dtype_kept(trial, net, torch.float32)
