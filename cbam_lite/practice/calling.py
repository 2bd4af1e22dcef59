"""How a student's Grad-CAM is called: which parameter takes what, a batch or one image, a module or its name."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cbam_lite.practice.probe_network import CLASSES, H, W, predicted, probe, right_maps
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.wrong_maps import as_maps, fit

# What students call the four things. The order matters where the names say nothing.
ROLES = {
    "model": "model net network cnn classifier backbone module m f",
    "images": "images image imgs img x input inputs input_tensor input_image batch input_batch x_batch xs picture "
    "tensor",
    "layer": "layer layers target_layer target_layers layer_name target_layer_name target_module conv_layer hook_layer "
    "feature_layer at where name",
    "classes": "classes class_idx class_index class_ids class_id cls target targets target_class target_classes label "
    "labels category target_category c y class_ category_index k idx index indices class_indices class_idxs",
}
ONE_IMAGE, SEVERAL = ("image", "img", "picture", "input_image"), ("images", "imgs", "batch", "xs", "x_batch")


def roles(function: Any, wanted: Iterable[str] = ROLES) -> dict[str, inspect.Parameter]:
    """Which parameter takes what: by the names first, by the order of those that are left next."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return {}
    usable = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self"]
    found: dict[str, inspect.Parameter] = {}
    for role in wanted:
        for p in usable:
            if p.name.lower() in ROLES[role].split() and role not in found and p not in found.values():
                found[role] = p
    rest = [p for p in usable if p not in found.values() and p.default is p.empty]
    missing = [role for role in wanted if role not in found]
    return {**found, **dict(zip(missing, rest, strict=False))}


METHODS = ("forward", "__call__", "generate", "generate_cam", "get_cam", "compute", "attribute", "explain")
ENDS = ("remove_hooks", "remove_hook", "remove", "close", "release")


def as_function(thing: Any) -> Any:
    """A class is made with the model and the layer, and called with the images and the classes: one function."""
    defined = {name for part in getattr(thing, "__mro__", ())[:-1] for name in vars(part)}
    use = next((name for name in METHODS if name in defined), None)
    if not inspect.isclass(thing) or use is None:
        return thing
    first, then = roles(thing, ("model", "layer")), roles(getattr(thing, use), ("images", "classes"))

    def function(**given: Any) -> Any:
        made: Any = thing(**{p.name: given.pop(p.name) for p in first.values()})
        with made if hasattr(made, "__enter__") else contextlib.nullcontext():
            result = getattr(made, use)(**given)
        for name in ENDS:
            if callable(getattr(made, name, None)):
                getattr(made, name)()
                break
        return result

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*first.values(), *then.values())]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


class Way(NamedTuple):
    """How the function is called: with a batch or image by image, the layer as module or name, classes as what."""

    together: bool
    bare: bool  # (3, H, W) in place of (1, 3, H, W)
    layer: str
    classes: str

    def __str__(self) -> str:
        says = [] if self.together else ["it takes one image at a time"]
        says += [] if self.layer == "module" else [f"the layer is given as {self.layer}"]
        return "; ".join(says)


LAYERS: dict[str, Callable[[nn.Module, str], Any]] = {
    "module": lambda model, name: model.get_submodule(name),
    "its name": lambda model, name: name,
    "a list of modules": lambda model, name: [model.get_submodule(name)],
}
AS_CLASSES: dict[str, Callable[[Tensor], Any]] = {
    "a tensor": lambda c: c.clone(),
    "a list": lambda c: c.tolist(),
    "a number": lambda c: int(c[0]),
    "nothing": lambda c: None,
}


def ways(found: dict[str, inspect.Parameter]) -> Iterator[Way]:
    """From the contract's own way, a batch with one class for each image, to the last resort."""
    asked = ("a tensor", "a list", "a number") if "classes" in found else ()
    single = "images" in found and found["images"].name.lower() in ONE_IMAGE
    for together, bare in ((True, False), (False, False), (False, True)):
        if together and single:
            continue
        order = asked if together else asked[::-1]
        for classes in (*order, "nothing"):
            for layer in LAYERS:
                yield Way(together, bare, layer, classes)


def call(trial: Trial, thing: Any, model: nn.Module, x: Tensor, name: str, c: Tensor, way: Way) -> Any:
    """What the student's function gives for these images, which are one batch or one image."""
    values = {
        "model": model,
        "images": x[0] if way.bare else x,
        "layer": LAYERS[way.layer](model, name),
        "classes": AS_CLASSES[way.classes](c),
    }
    found = roles(thing)
    if not found:
        return trial.run(thing, *list(values.values())[: 3 if way.classes == "nothing" else 4])
    if way.classes == "nothing" and "classes" in found and found["classes"].default is not inspect.Parameter.empty:
        found = {role: p for role, p in found.items() if role != "classes"}
    by_order = [values[role] for role, p in ordered(found) if p.kind is p.POSITIONAL_ONLY]
    by_name = {p.name: values[role] for role, p in found.items() if p.kind is not p.POSITIONAL_ONLY}
    return trial.run(thing, *by_order, **by_name)


def ordered(found: dict[str, inspect.Parameter]) -> list[tuple[str, inspect.Parameter]]:
    return list(found.items())  # positional-only parameters have no names of ours, so they came in the order of ROLES


def maps_of(trial: Trial, thing: Any, model: nn.Module, x: Tensor, name: str, c: Tensor, way: Way) -> Tensor:
    """Maps (B, h, w) if all is well, whatever came back otherwise."""
    if way.together:
        return as_maps(call(trial, thing, model, x.clone(), name, c, way), len(x))
    rows = range(len(x))
    maps = [as_maps(call(trial, thing, model, x[b : b + 1].clone(), name, c[b : b + 1], way), 1) for b in rows]
    return torch.cat(maps) if len({m.shape for m in maps}) == 1 and maps[0].dim() else maps[0]


def asked_classes(x: Tensor, way: Way) -> Tensor:
    """Classes other than the predicted ones: one for each image, or one for all; the predicted where none are asked."""
    best = predicted(x)
    if way.classes == "nothing":
        return best
    if way.classes == "a number" and way.together:
        return torch.full((len(x),), next(k for k in range(CLASSES) if k not in best.tolist()))
    return (best + torch.tensor([2, 1, 3])[: len(x)]) % CLASSES


def mean_of_all(m: Tensor, x: Tensor, c: Tensor) -> bool:
    """Whether a batch gave one map, the mean of all: that is wrong, also for who takes one image at a time."""
    L = right_maps(x, c)
    one = m.reshape(-1, *m.shape[-2:])[:1] if m.dim() > 1 and m.numel() == L[0].numel() else None
    return one is not None and any(fit(one, k.mean(0, keepdim=True), 1e-3) for k in (L, L.relu()))


def chosen(trial: Trial, thing: Any, x: Tensor) -> tuple[Way, Tensor]:
    """The first way that gives a map for each image, and those; else the first that ran."""
    errors: list[Refused] = []
    others: list[tuple[Way, Tensor]] = []
    found = roles(thing)
    several = "images" in found and found["images"].name.lower() in SEVERAL
    for way in ways(found):
        if others and others[0][0].together and not way.together and several:
            break
        try:
            m = maps_of(trial, thing, probe(), x, "block2", asked_classes(x, way), way)
        except Refused as error:
            errors.append(error)
            continue
        if m.shape == (len(x), H, W):
            return way, m
        if way.together and mean_of_all(m, x, asked_classes(x, way)):
            return way, m
        others.append((way, m))
    if others:
        return others[0]
    raise next((error for error in errors if error.key == "unfilled"), errors[0])
