"""A second held-out collection, written without sight of the judges: CBAM, maps and measures."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import Tensor

# CBAM: right.


@right("CBAM", "pure function")
def refine_features(f, w0, w1, kernel):
    """Channel, then place, with weights from outside."""

    def mlp(v):
        return torch.einsum("ch,bh->bc", w1, torch.einsum("hc,bc->bh", w0, v).relu())

    m_c = torch.sigmoid(mlp(f.mean((2, 3))) + mlp(f.amax((2, 3))))
    f1 = torch.einsum("bchw,bc->bchw", f, m_c)
    pair = torch.stack([f1.mean(1), f1.amax(1)], 1)
    return f1 * torch.sigmoid(F.conv2d(pair, kernel, padding=kernel.shape[-1] // 2))


class Gate(nn.Module):
    """Scales what it gets by the sigmoid of its logits."""

    def logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.logits(x))


GATES: dict[str, Callable[..., Gate]] = {}


def gate(name: str) -> Callable[[type[Gate]], type[Gate]]:
    """Put a gate into the registry."""

    def enter(cls: type[Gate]) -> type[Gate]:
        GATES[name] = cls
        return cls

    return enter


@gate("channel")
class RegisteredChannelGate(Gate):
    """What is important?"""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def logits(self, x):
        flat = x.flatten(2)
        return (self.mlp(flat.mean(2)) + self.mlp(flat.max(2).values)).unsqueeze(-1).unsqueeze(-1)


@gate("spatial")
class RegisteredSpatialGate(Gate):
    """Where is it?"""

    def __init__(self, *_: int):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def logits(self, x):
        return self.conv(torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1))


@right("CBAM", "registry of gates")
def cbam_from_registry(channels: int, reduction: int = 16, order: Sequence[str] = ("channel", "spatial")) -> nn.Module:
    """The gates in the order of the paper."""
    return nn.Sequential(*(GATES[name](channels, reduction) for name in order))


@right("CBAM", "tutorial")
class TutorialCBAM(nn.Module):
    """All in one class, 1x1 convolutions."""

    def __init__(self, channel, ratio=8, kernel_size=7):
        super().__init__()
        self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.mlp = nn.Sequential(
            nn.Conv2d(channel, max(channel // ratio, 1), 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(max(channel // ratio, 1), channel, 1, bias=False),
        )
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.sigmoid = nn.Sigmoid()

    def channel(self, x):
        return self.sigmoid(self.mlp(self.max_pool(x)) + self.mlp(self.avg_pool(x)))

    def places(self, x):
        max_out, _ = torch.max(x, dim=1, keepdim=True)
        avg_out = torch.mean(x, dim=1, keepdim=True)
        return self.sigmoid(self.conv(torch.cat([max_out, avg_out], dim=1)))

    def forward(self, x):
        x = self.channel(x) * x
        x = self.places(x) * x
        return x


# CBAM: wrong.


@wrong("CBAM", "spatial_reads_F")
class BothFromTheInput(TutorialCBAM):
    """Two gates, one product."""

    def forward(self, x):
        return x * self.channel(x) * self.places(x)


@wrong("CBAM", "spatial_first")
def reversed_registry(channels, reduction=4):
    """Where, and what?"""
    return cbam_from_registry(channels, reduction, order=sorted(GATES, reverse=True))


@wrong("CBAM", "gates_added")
class ParallelBranches(nn.Module):
    """Both gates at the same time."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.branches = nn.ModuleList(make(channels, reduction) for make in GATES.values())

    def forward(self, x):
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


@wrong("CBAM", "input_added")
class WithResidual(TutorialCBAM):
    """A block with its residual."""

    def forward(self, x):
        return super().forward(x) + x


@wrong("CBAM", "added_before_relu")
def refine_with_merged_mlp(f, w0, w1, kernel):
    """Merge the descriptors, call the MLP once."""
    pooled = f.mean((2, 3)) + f.amax((2, 3))
    f1 = f * torch.sigmoid(F.relu(pooled @ w0.t()) @ w1.t())[..., None, None]
    pair = torch.cat([f1.mean(1, keepdim=True), f1.amax(1, keepdim=True)], 1)
    return f1 * torch.sigmoid(F.conv2d(pair, kernel, padding="same"))


@wrong("CBAM", "gate_per_channel")
class PlacesOfEveryChannel(TutorialCBAM):
    """A map of places for each channel."""

    def __init__(self, channel, ratio=8, kernel_size=7):
        super().__init__(channel, ratio, kernel_size)
        self.conv = nn.Conv2d(2, channel, kernel_size, padding=kernel_size // 2, bias=False)


# Grad-CAM map: right.


@right("Grad-CAM map", "NumPy")
def cam_of_arrays(activations, gradients):
    """Works with any number of leading axes."""
    a, g = np.asarray(activations), np.asarray(gradients)
    return np.maximum(np.einsum("...chw,...c->...hw", a, g.mean(axis=(-2, -1))), 0)


@right("Grad-CAM map", "einops-like, normalised")
def scaled_cam(a: Tensor, g: Tensor) -> Tensor:
    """ReLU of the weighted sum, divided by its largest value."""
    lead, (h, w) = a.shape[:-3], a.shape[-2:]
    channels_last = a.flatten(-2).transpose(-1, -2)  # (..., HW, C)
    cam = (channels_last @ g.flatten(-2).mean(-1).unsqueeze(-1)).relu()
    peak = cam.amax(-2, keepdim=True)
    return (cam / peak.clamp(min=1e-12)).reshape(*lead, h, w)


@right("Grad-CAM map", "loops")
def looped_cam(feature_maps, grads):
    """One image, one channel after the other."""
    if feature_maps.ndim == 4:
        return torch.stack([looped_cam(f, g) for f, g in zip(feature_maps, grads, strict=True)])
    heatmap = torch.zeros(feature_maps.shape[1:], dtype=feature_maps.dtype)
    for channel in range(len(feature_maps)):
        importance = grads[channel].mean().item()
        heatmap += importance * feature_maps[channel]
    heatmap[heatmap < 0] = 0
    return heatmap


# Grad-CAM map: wrong.


@wrong("Grad-CAM map", "absolute_value")
def strength_of_evidence(a, g):
    """How strong is the evidence at each place?"""
    return (a * g.mean((-2, -1), keepdim=True)).sum(-3).abs()


@wrong("Grad-CAM map", "one_scale_for_batch")
def displayed_cam(a, g):
    """For a picture: values between 0 and 1."""
    cam = F.relu(torch.einsum("...chw,...c->...hw", a, g.mean((-1, -2))))
    return (cam - cam.min()) / (cam.max() - cam.min() + 1e-12)


@wrong("Grad-CAM map", "max_for_mean")
def peak_weights_cam(activations, gradients):
    """Weights of channels by pooling gradients."""
    a, g = np.asarray(activations), np.asarray(gradients)
    weights = g.max(axis=(-2, -1), keepdims=True)
    return np.clip((weights * a).sum(axis=-3), 0, None)


@wrong("Grad-CAM map", "softmax_over_channels")
def shares_of_channels(a: Tensor, g: Tensor) -> Tensor:
    """The weights are shares."""
    alpha = g.flatten(-2).mean(-1).softmax(-1)
    return torch.relu((a * alpha[..., None, None]).sum(-3))


@wrong("Grad-CAM map", "xgrad_cam")
def activation_weighted_cam(a, g):
    """Places with large activations count more in the weights."""
    weights = (a * g).sum((-2, -1)) / (a.sum((-2, -1)) + 1e-7)
    return torch.einsum("...c,...chw->...hw", weights, a).relu()


@wrong("Grad-CAM map", "sign_flipped")
def descent_cam(feature_maps, grads):
    """Follow the gradient down."""
    alphas = [-grad.mean() for grad in grads.unbind(-3)] if grads.ndim == 3 else None
    if alphas is None:
        return torch.stack([descent_cam(f, g) for f, g in zip(feature_maps, grads, strict=True)])
    total = sum(alpha * f for alpha, f in zip(alphas, feature_maps, strict=True))
    return total.clamp(min=0)


# Grad-CAM: right.


@contextlib.contextmanager
def watched(model, layer, train=False):
    """Watch the output of a layer; leave the model as it was."""
    layer = model.get_submodule(layer) if isinstance(layer, str) else layer
    seen, modes = [], [(m, m.training) for m in model.modules()]

    def look(_module, _inputs, output):
        seen.append(output if output.requires_grad else output.requires_grad_())
        return output.clone()

    handle = layer.register_forward_hook(look)
    model.train(train)
    try:
        with torch.enable_grad():
            yield seen
    finally:
        handle.remove()
        for module, mode in modes:
            module.training = mode


def chosen(logits, classes):
    """The logit of the class of each image; the best class where none is asked for."""
    if classes is None:
        return logits.amax(1)
    index = torch.as_tensor(classes).expand(len(logits)) if np.ndim(classes) == 0 else torch.as_tensor(classes)
    return logits.gather(1, index[:, None]).squeeze(1)


@right("Grad-CAM", "context manager")
def explain_with_context(model, images, layer, classes=None):
    """Watch, differentiate, weigh."""
    with watched(model, layer) as seen:
        score = chosen(model(images), classes).sum()
        (grads,) = torch.autograd.grad(score, seen)
    return torch.einsum("bchw,bc->bhw", seen[0], grads.mean((2, 3))).relu().detach()


@dataclass
class Explainer:
    """Grad-CAM of one layer of a model, resized to the images."""

    model: nn.Module
    layer: nn.Module | str

    def cams(self, images: Tensor, classes) -> Tensor:
        with watched(self.model, self.layer) as seen:
            logits = self.model(images)
            target = logits.argmax(1) if classes is None else torch.as_tensor(classes).expand(len(images))
            picked = torch.zeros_like(logits).scatter(1, target.reshape(-1, 1), 1.0)
            grads = torch.autograd.grad(logits, seen[0], grad_outputs=picked)[0]
        raw = (grads.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True).relu()
        return F.interpolate(raw, images.shape[2:], mode="bilinear", align_corners=False)[:, 0].detach()


@right("Grad-CAM", "dataclass, resized")
def explain_with_explainer(model, images, layer, classes=None):
    """Make an explainer, use it once."""
    return Explainer(model, layer).cams(images, classes)


@right("Grad-CAM", "one image after the other")
def explain_one_by_one(net, batch, target_layer, labels=None):
    """Loop over images and put the maps together, as an array between 0 and 1."""
    maps = []
    for i in range(len(batch)):
        label = None if labels is None else int(labels if np.ndim(labels) == 0 else labels[i])
        with watched(net, target_layer) as seen:
            out = net(batch[i : i + 1])[0]
            grad = torch.autograd.grad(out[out.argmax() if label is None else label], seen)[0][0]
        cam = np.maximum(sum(g.mean() * a for g, a in zip(grad.numpy(), seen[0][0].detach().numpy(), strict=True)), 0)
        maps.append(cam / cam.max() if cam.max() > 0 else cam)
    return np.stack(maps)


# Grad-CAM: wrong.


@wrong("Grad-CAM", "softmax_score")
def explain_probability(model, images, layer, classes=None):
    """Which places make the class likely?"""
    with watched(model, layer) as seen:
        probabilities = model(images).softmax(dim=1)
        (grads,) = torch.autograd.grad(chosen(probabilities, classes).sum(), seen)
    return torch.einsum("bchw,bc->bhw", seen[0], grads.mean((2, 3))).relu().detach()


@wrong("Grad-CAM", "mode_left")
def explain_in_eval(model, images, layer, classes=None):
    """Switch to eval, then explain."""
    model.eval()
    return explain_with_context(model, images, layer, classes)


@wrong("Grad-CAM", "hooks_left")
def explain_with_open_hooks(model, images, layer, classes=None):
    """A hook writes down what the layer gives."""
    module = dict(model.named_modules())[layer] if isinstance(layer, str) else layer
    notes = {}
    modes = {m: m.training for m in model.modules()}

    def note(_module, _inputs, output):
        notes["A"] = output

    module.register_forward_hook(note)
    model.eval()
    with torch.enable_grad():
        score = chosen(model(images), classes).sum()
        grads = torch.autograd.grad(score, notes["A"])[0]
    for m, mode in modes.items():
        m.training = mode
    return (notes["A"] * grads.mean((2, 3), keepdim=True)).sum(1).relu().detach()


@wrong("Grad-CAM", "mean_over_batch")
def explain_batch(model, images, layer, classes=None):
    """Pool the gradients, weigh the maps."""
    with watched(model, layer) as seen:
        (grads,) = torch.autograd.grad(chosen(model(images), classes).sum(), seen)
    pooled = torch.mean(grads, dim=[0, 2, 3])
    return torch.tensordot(pooled, seen[0].detach(), dims=([0], [1])).relu()


@wrong("Grad-CAM", "no_class")
def explain_prediction(model, images, layer, classes=None):
    """Explain what the model says."""
    with watched(model, layer) as seen:
        best = model(images).max(dim=1).values
        (grads,) = torch.autograd.grad(best.sum(), seen)
    return F.relu((grads.mean((2, 3))[..., None, None] * seen[0]).sum(1)).detach()


@wrong("Grad-CAM", "train_mode")
def explain_as_trained(model, images, layer, classes=None):
    """Watch the layer at work."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with watched(model, layer, train=True) as seen:
        (grads,) = torch.autograd.grad(chosen(model(images), classes).sum(), seen)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return torch.einsum("bchw,bc->bhw", seen[0], grads.mean((2, 3))).relu().detach()


# Average precision: right.


@right("average precision", "NumPy, all points")
def envelope_area(confidences, correct, truths):
    """Sort, add up, take the envelope, integrate."""
    order = np.argsort(-np.asarray(confidences), kind="stable")
    hits = np.asarray(correct)[order].astype(float)
    tp = hits.cumsum()
    recall = np.concatenate([[0.0], tp / truths, [1.0]])
    precision = np.concatenate([[0.0], tp / np.arange(1, len(tp) + 1), [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(np.diff(recall))
    return float(((recall[steps + 1] - recall[steps]) * precision[steps + 1]).sum())


@right("average precision", "plain Python")
def ap_in_plain_python(scores, flags, n_truths):
    """For every hit the best precision from there on."""
    ranked = sorted(zip(scores, flags, strict=True), key=lambda pair: -float(pair[0]))
    precisions, hits = [], 0
    for rank, (_, flag) in enumerate(ranked, start=1):
        hits += bool(flag)
        precisions.append(hits / rank)
    best = [max(precisions[i:]) for i, (_, flag) in enumerate(ranked) if flag]
    return sum(best) / n_truths if n_truths else 0.0


@right("average precision", "101 points")
def coco_points(confidences: Tensor, correct: Tensor, truths: int) -> Tensor:
    """The mean of the envelope at 101 recalls."""
    tp = correct[confidences.argsort(descending=True, stable=True)].double().cumsum(0)
    precision = tp / torch.arange(1, len(tp) + 1)
    envelope = precision.flip(0).cummax(0).values.flip(0)
    envelope = torch.cat([envelope, envelope.new_zeros(1)])
    points = torch.linspace(0, 1, 101, dtype=torch.float64)
    return envelope[torch.searchsorted(tp / truths, points)].mean()


# Average precision: wrong.


class Curve(NamedTuple):
    """A precision-recall curve, one point for each detection."""

    precision: np.ndarray
    recall: np.ndarray

    @classmethod
    def of(cls, confidences, correct, truths, sign=-1):
        order = np.argsort(sign * np.asarray(confidences, dtype=float), kind="stable")
        tp = np.cumsum(np.asarray(correct, dtype=float)[order])
        return cls(tp / np.arange(1, len(tp) + 1), tp / truths)

    def envelope(self):
        return np.maximum.accumulate(self.precision[::-1])[::-1]


@wrong("average precision", "sorted_ascending")
def ap_from_argsort(confidences, correct, truths):
    """The area under the envelope of the curve."""
    curve = Curve.of(confidences, correct, truths, sign=1)
    return float(np.sum(curve.envelope() * np.diff(curve.recall, prepend=0)))


@wrong("average precision", "no_envelope")
def mean_precision_of_hits(scores, flags, n_truths):
    """For every hit the precision there."""
    total, hits = 0.0, 0
    for rank, i in enumerate(np.argsort(-np.asarray(scores)), start=1):
        if flags[i]:
            hits += 1
            total += hits / rank
    return total / n_truths


@wrong("average precision", "envelope_from_left")
def running_best_area(confidences, correct, truths):
    """Make precision monotone, then integrate."""
    precision, recall = Curve.of(confidences, correct, truths)
    monotone = np.minimum.accumulate(precision)
    return float(monotone @ np.diff(recall, prepend=0.0))


@wrong("average precision", "trapezoid")
def trapezoid_area(confidences: Tensor, correct: Tensor, truths: int) -> float:
    """The envelope by the rule of trapezoids."""
    curve = Curve.of(confidences, correct, truths)
    new = np.diff(curve.recall, prepend=0.0) > 0  # one point for each recall
    recall = np.concatenate([[0.0], curve.recall[new]])
    height = np.concatenate([curve.envelope()[:1], curve.envelope()[new]])
    return float(np.sum(np.diff(recall) * (height[1:] + height[:-1]) / 2))


@wrong("average precision", "no_start")
def area_between_points(confidences, correct, truths):
    """Widths between neighbouring recalls times the envelope."""
    curve = Curve.of(confidences, correct, truths)
    return float((np.diff(curve.recall) * curve.envelope()[1:]).sum())


@wrong("average precision", "divided_by_hits")
def ap_without_misses(scores, flags, n_truths):
    """For every hit the best precision from there on, averaged."""
    order = torch.as_tensor(scores).argsort(descending=True)
    flags = torch.as_tensor(flags)[order]
    precision = flags.double().cumsum(0) / torch.arange(1, len(flags) + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    return best[flags].mean().item() if flags.any() else 0.0


# Box IoU: right.


@right("box IoU", "plain Python")
def iou_by_cases(a, b):
    """No overlap, or the share of it."""
    ax1, ay1, ax2, ay2 = (float(v) for v in a)
    bx1, by1, bx2, by2 = (float(v) for v in b)
    if ax2 <= bx1 or bx2 <= ax1 or ay2 <= by1 or by2 <= ay1:
        return 0.0
    overlap = (min(ax2, bx2) - max(ax1, bx1)) * (min(ay2, by2) - max(ay1, by1))
    return overlap / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - overlap)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle, perhaps empty."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        return max(self.x2 - self.x1, 0) * max(self.y2 - self.y1, 0)

    def __and__(self, other: "Rectangle") -> "Rectangle":
        low = max(self.x1, other.x1), max(self.y1, other.y1)
        return Rectangle(*low, min(self.x2, other.x2), min(self.y2, other.y2))

    def __or__(self, other: "Rectangle") -> "Rectangle":
        low = min(self.x1, other.x1), min(self.y1, other.y1)
        return Rectangle(*low, max(self.x2, other.x2), max(self.y2, other.y2))


@right("box IoU", "operators of a dataclass")
def rectangle_iou(box_a, box_b):
    """Rectangles know how to meet."""
    p, q = Rectangle(*box_a), Rectangle(*box_b)
    shared = (p & q).area
    return shared / (p.area + q.area - shared)


@right("box IoU", "tensor corners")
def corner_iou(box_a, box_b):
    """Both corners at once."""
    a, b = torch.as_tensor(box_a), torch.as_tensor(box_b)
    corners = torch.stack([a, b]).unflatten(-1, (2, 2))  # (box, corner, xy)
    inner = (corners[:, 1].amin(0) - corners[:, 0].amax(0)).clamp(min=0).prod(-1)
    return inner / ((corners[:, 1] - corners[:, 0]).prod(-1).sum(0) - inner)


# Box IoU: wrong.


@wrong("box IoU", "no_clamp")
def clamped_area_iou(box_a, box_b):
    """Clamp the area of the overlap."""
    a, b = np.asarray(box_a, dtype=float), np.asarray(box_b, dtype=float)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inner = max(np.prod(sides), 0.0)
    return inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner)


@wrong("box IoU", "inclusive_pixels")
def pixel_iou(a, b):
    """Count pixels from the first to the last."""

    def pixels(x1, y1, x2, y2):
        return max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)

    both = pixels(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return both / (pixels(*a) + pixels(*b) - both)


@wrong("box IoU", "enclosing_box")
def hull_iou(box_a, box_b):
    """Meet and join of rectangles."""
    p, q = Rectangle(*box_a), Rectangle(*box_b)
    return (p & q).area / (p | q).area


@wrong("box IoU", "intersection_over_smaller")
def covered_share(box_a: Tensor, box_b: Tensor):
    """How much of a box is covered?"""
    p, q = Rectangle(*box_a), Rectangle(*box_b)
    return (p & q).area / min(p.area, q.area)


@wrong("box IoU", "product_of_axes")
def separable_iou(box_a, box_b):
    """The IoU of intervals, for x and for y."""

    def interval_iou(a1, a2, b1, b2):
        inner = max(min(a2, b2) - max(a1, b1), 0)
        return inner / ((a2 - a1) + (b2 - b1) - inner)

    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = box_a, box_b
    return interval_iou(ax1, ax2, bx1, bx2) * interval_iou(ay1, ay2, by1, by2)


@wrong("box IoU", "union_without_intersection_removed")
def share_of_areas(box_a, box_b):
    """Overlap over the areas of both boxes."""
    corners = torch.stack([torch.as_tensor(box_a), torch.as_tensor(box_b)]).reshape(2, 2, 2)
    low, high = corners.unbind(1)
    inner = (high.amin(0) - low.amax(0)).clamp(min=0).prod()
    return inner / (high - low).prod(1).sum()
