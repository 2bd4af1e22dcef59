"""Is it Grad-CAM, from a model and images to maps? And does it leave the model as it was?"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cbam_lite.practice import wrong_maps
from cbam_lite.practice.calling import Way, as_function, asked_classes, call, chosen, maps_of, roles
from cbam_lite.practice.probe_network import H, Probe, W, mistaken_maps, pictures, predicted, probe, right_maps
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.wrong_maps import convention, fit

TOLERANCE = 1e-3  # float32 all the way, and gradients that cancel

# ---- what it computes ------------------------------------------------------------------------------------------------


def judged_shape(trial: Trial, m: Tensor, right: Tensor) -> None:
    if m.shape == right.shape:
        return
    says = f"{tuple(m.shape)} came back, right is {tuple(right.shape)}"
    flat = m.reshape(-1, *m.shape[-2:]) if m.dim() > 1 else m
    if fit(flat, right[:1], TOLERANCE):
        trial.refuse("first_image_only", says)
    if flat.shape[1:] == right.shape[1:] and len(flat) == 1 and len(right) > 1:
        trial.refuse("mean_over_batch", f"{says}: three images became one map")
    swapped = m.dim() > 1 and m.shape[-2:] == right.shape[:0:-1]
    trial.refuse("wrong_axes" if swapped else "wrong_shape", says)


def judged_values(trial: Trial, thing: Any, m: Tensor, x: Tensor, c: Tensor, way: Way) -> wrong_maps.Fit:
    """How the maps come from the right ones, or a refusal that names the mistake."""
    if not bool(torch.isfinite(m).all()):
        trial.refuse("nan", f"{int((~torch.isfinite(m)).sum())} of {m.numel()} values are NaN or infinite")
    right = right_maps(x, c)
    found = fit(m, right, TOLERANCE, ("relu", "signed"))
    if not found and not bool(m.any()):
        trial.refuse("all_zero", "all values of all maps are 0")
    if not found:
        key = wrong_maps.name(m, right, mistaken_maps(x, c, way.together), TOLERANCE)
        if not key:
            model = probe()
            maps_of(trial, thing, model, x, "block2", c, way)
            judged_model(trial, model)
            key = wrong_maps.name(m, right, mistaken_maps(x, c, way.together, twice=True), TOLERANCE)
        near = [max(correlation(a, L), correlation(a, L.relu())) for a, L in zip(m, right, strict=True)]
        says = ", ".join(f"{r:.2f}" for r in near)
        trial.refuse(key, f"correlation of each map with the right one: {says}; up to a positive factor they are equal")
    return found


def judged_alone(trial: Trial, thing: Any, m: Tensor, x: Tensor, c: Tensor, way: Way) -> None:
    """Refuse maps that depend on the other images of the batch."""
    for b in range(len(x)):
        alone = maps_of(trial, thing, probe(), x[b : b + 1], "block2", c[b : b + 1], way)
        if alone.shape != m[b : b + 1].shape:
            trial.refuse("wrong_shape", f"a batch of one gives {tuple(alone.shape)}, right is {(1, *m.shape[1:])}")
        factor = float(m[b].abs().max() / alone.abs().max())
        if abs(factor - 1) > TOLERANCE:
            mean = abs(factor * len(x) - 1) < TOLERANCE  # the mean of the scores is explained: the same picture
            if not mean:
                trial.refuse(
                    "one_scale_for_batch",
                    f"image {b} has the peak {m[b].max():.3g} in the batch and {alone.max():.3g} alone",
                )


def judged_again(trial: Trial, thing: Any, x: Tensor, way: Way) -> None:
    """Two calls on one model: the second must not know of the first."""
    model, other = probe(), pictures(2)
    first = maps_of(trial, thing, model, x, "block2", asked_classes(x, way), way)
    c = asked_classes(other, way)
    second = maps_of(trial, thing, model, other, "block2", c, way)
    right = right_maps(other, c)
    if fit(second, right, TOLERANCE, ("relu", "signed")):
        return
    stale = fit(second, first, TOLERANCE) is not None or second.shape != right.shape
    key = "hooks_left" if stale or hooks(model) else "gradients_accumulated"
    trial.refuse(key, "the second call on the same model, with other images, gives a wrong map")


def judged_other_layer(trial: Trial, thing: Any, x: Tensor, way: Way) -> None:
    """The smaller layer: its own map, or that at the size of the images, however it was resized."""
    c = asked_classes(x, way)
    m = maps_of(trial, thing, probe(), x, "block3", c, way)
    right = right_maps(x, c, last=3)
    if m.shape == right.shape and fit(m, right, TOLERANCE, ("relu", "signed")):
        return
    if m.shape != (len(x), H, W) and m.shape != right.shape:
        swapped = m.dim() == 3 and m.shape[1:] in ((W, H), right.shape[:0:-1])
        sizes = f"{tuple(right.shape)} or, resized, {(len(x), H, W)}"
        trial.refuse("wrong_axes" if swapped else "wrong_shape", f"{tuple(m.shape)} came back, right is {sizes}")
    large = [right, right.relu()] if m.shape == right.shape else enlarged(right)
    near = min(max(correlation(a, L[b]) for L in large) for b, a in enumerate(m))
    if near < 0.9:
        key = "wrong_layer" if fit(m, right_maps(x, c), TOLERANCE) else ""
        trial.refuse(key, f"at another layer, the correlation with the right map is only {near:.2f}")


def enlarged(m: Tensor) -> list[Tensor]:
    """The map at the size of the images, in the usual ways to resize it, with the ReLU before, after, or without."""
    ways: list[dict[str, Any]] = [
        {"mode": "bilinear"},
        {"mode": "bilinear", "align_corners": True},
        {"mode": "bicubic"},
        {"mode": "nearest"},
    ]
    large = [functional.interpolate(L[:, None], (H, W), **way)[:, 0] for L in (m, m.relu()) for way in ways]
    return [*large, *(L.relu() for L in large)]


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].nan_to_num(-1.0))


def judged_default(trial: Trial, thing: Any, x: Tensor, way: Way) -> None:
    """Where the classes have the default None: the predicted ones. An error is allowed."""
    p = roles(thing).get("classes")
    if p is None or p.default is not None or way.classes == "nothing":
        return
    trial.tries("the same without classes: the predicted class of each image")
    without = way._replace(classes="nothing")
    try:
        m = maps_of(trial, thing, probe(), x, "block2", predicted(x), without)
    except Refused:
        return
    judged_shape(trial, m, right_maps(x, None))
    judged_values(trial, thing, m, x, predicted(x), without)


# ---- what it leaves behind -------------------------------------------------------------------------------------------


def hooks(model: nn.Module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for module in model.modules() for name in names)


def judged_model(trial: Trial, model: nn.Module) -> None:
    """Refuse whoever changes parts, weights, statistics, or what is trained."""
    fresh = probe()
    now, then = model.state_dict(), fresh.state_dict()
    if list(now) != list(then) or type(model) is not Probe:
        trial.refuse("model_changed", "the model has other parts than before")
    if changed := [name for name in then if not torch.equal(now[name], then[name])]:
        trial.refuse("model_changed", f"{len(changed)} weights or statistics are not what they were: {changed[0]}")
    if frozen := [name for name, p in model.named_parameters() if not p.requires_grad]:
        trial.refuse("model_changed", f"{len(frozen)} parameters no longer require a gradient: {frozen[0]}")


def left_behind(trial: Trial, thing: Any, x: Tensor, way: Way) -> None:
    """Refuse whoever changes the model, or leaves hooks, gradients or another mode on it."""
    model = probe()
    images, c = x[: None if way.together else 1].clone(), asked_classes(x, way)
    call(trial, thing, model, images, "block2", c if way.together else c[:1], way)
    judged_model(trial, model)
    if count := hooks(model):
        trial.refuse("hooks_left", f"{count} hooks are still on the model")
    if kept := [name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())]:
        trial.refuse("gradients_left", f"{len(kept)} parameters now hold a gradient in .grad: {kept[0]}")
    if not all(module.training for module in model.modules()):
        trial.refuse("mode_left", "the model was in train mode; now it is in evaluation mode")
    if not torch.equal(images, x[: len(images)]):
        trial.refuse("input_changed", "after the call the images hold other values than before")


# ---- the judge -------------------------------------------------------------------------------------------------------


def grad_cam(trial: Trial, thing: Any) -> str:
    """A function (model, images, layer, classes), by name or in this order, that gives a map for each image."""
    if not callable(thing):
        trial.refuse("not_a_function", f"a function is expected, not {type(thing).__name__}")
    thing, x = as_function(thing), pictures(1)
    trial.tries(
        f"a network in train mode, images {tuple(x.shape)}, a layer with 5 maps of {H} x {W}: a map for each image"
    )
    way, m = chosen(trial, thing, x)
    c = asked_classes(x, way)
    judged_shape(trial, m, right_maps(x, c))
    what = "the predicted class" if way.classes == "nothing" else "the class that was asked for"
    trial.tries(f"each map is sum_k w_k A_k, w_k the mean gradient of the logit of {what}, in evaluation mode")
    found = judged_values(trial, thing, m, x, c, way)
    judged_default(trial, thing, x, way)
    if way.together:
        trial.tries("each image alone gives the same map as in the batch")
        judged_alone(trial, thing, m, x, c, way)
    trial.tries("afterwards the model is as before: weights, statistics, hooks, .grad, mode")
    left_behind(trial, thing, x, way)
    trial.tries("a second call with other images, and another layer of 6 maps of 4 x 6: their own maps")
    judged_again(trial, thing, x, way)
    judged_other_layer(trial, thing, x, way)
    return "; ".join(part for part in (convention(found, H * W), str(way)) if part)
