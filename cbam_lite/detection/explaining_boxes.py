"""Why this box? A map for each detection, from the score of the one slot that found it.

`cam` explains one number of each image. A detector gives thousands, and a detection comes from one slot of them: an
anchor in a cell of a level. With its raw numbers t_o and t_k::

    score = log confidence = log sigmoid(t_o) + log sigmoid(t_k)        d score / d t = 1 - sigmoid(t)

So of objectness and class, the one that is less sure weighs more, and a map of a sure detection is faint, but has its
shape; the gradient of the confidence itself is 0 there in float32. Choosing boxes has no gradient: that comes first.

A slot sees little of the last maps: its gradient is zero outside of 3x3 cells of the map that its head reads. So the
weights of Grad-CAM are means over a whole map in which 9 places count, and its map lights up wherever the same channels
are active, also where this slot sees nothing. LayerCAM and HiResCAM keep the place; but then even a blind map, that of
the slot's own cell, lies on the object: compare with it. In front of an attention module the gradient is everywhere,
because a gate depends on the whole map; ``feat1``, ``feat2`` and ``P5_upsample`` are behind theirs.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cbam_lite.checks import choose, positive_int, tensor
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.detecting import Detections, detect
from cbam_lite.detection.letterboxing import Letterbox, letterbox, picture, size_of
from cbam_lite.detection.yolo import STRIDES, YoloTiny
from cbam_lite.explaining.faithfulness import Fill, deletion, mean_colour
from cbam_lite.explaining.gradcam import Score, cam, class_numbers, of_class, positive, resize
from cbam_lite.explaining.layers import layer_of, names_of
from cbam_lite.explaining.methods import METHODS, Method, Name
from cbam_lite.networks.modes import evaluating

Kind = Literal["log confidence", "objectness", "class", "confidence"]
Layers: TypeAlias = str | Sequence[str] | Mapping[int, str | Sequence[str]]

KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of t_o and t_k, both (B,)
    "log confidence": lambda t_o, t_k: logsigmoid(t_o) + logsigmoid(t_k),
    "objectness": lambda t_o, t_k: t_o,
    "class": lambda t_o, t_k: t_k,
    "confidence": lambda t_o, t_k: t_o.sigmoid() * t_k.sigmoid(),
}

# The layer for each level. The coarse level's last map is feat2, but its places are 32 pixels wide, as wide as most
# objects; the stage before it has 16, and its maps lie on the object far more often.
DEFAULT = {0: "backbone.stage3.merge", 1: "feat1"}
UNREACHED = {0: ("feat1", "P5_upsample", "up", "head_P4"), 1: ("head_P5",)}  # parts that a level does not depend on
REACHED = {0: "backbone, feat2, reduce and head_P5", 1: "backbone, feat1, feat2, reduce, up, P5_upsample and head_P4"}
CHUNK = 16  # boxes explained in one pass


# ---- the score of one slot ------------------------------------------------------------------------------------------


def box_score(
    places: Tensor | Sequence[Sequence[int]],
    labels: Tensor | Sequence[int] | int | None = None,
    kind: Kind = "log confidence",
) -> Score:
    """A score for `cam`: one number of one slot for each image, from what `YoloTiny` gives.

    To explain several boxes of one image, repeat the image: ``images[:1].expand(len(places), -1, -1, -1)``.

    Args:
        places: (B, 4), level, anchor, row and column of one slot for each image, as in `Detections`.
        labels: (B,), the class that is explained; one number stands for all. Only "objectness" does without.
        kind: "objectness" is the raw t_o, "class" the raw t_k, "log confidence" log sigmoid(t_o) + log sigmoid(t_k),
            and "confidence" its exponential, to measure with: from t = 17 on its gradient is 0 in float32.

    Raises:
        ValueError: the kind is unknown, labels are missing, or places, labels and images do not fit together.
        TypeError: places or labels are no whole numbers.

    Example:
        >>> model, image = yolo_tiny(num_classes=6, width=0.25), torch.rand(1, 3, 128, 128)
        >>> score = box_score([[1, 0, 3, 4]], labels=2)  # level 1, anchor 0, row 3, column 4
        >>> cam(model, image, "feat1", score, "LayerCAM")["feat1"].shape
        torch.Size([1, 8, 8])
    """
    pick, slots = KINDS[choose("kind", kind, KINDS)], checked_places(places)
    if labels is None and kind != "objectness":
        raise ValueError(f"kind={kind!r} needs labels, one class for each place; only 'objectness' does without")
    classes = class_numbers("labels", 0 if labels is None else labels)
    if classes.dim() and len(classes) != len(slots):
        raise ValueError(f"{len(classes)} labels for {len(slots)} places: give one class for each place")

    def score(output: Sequence[Tensor]) -> Tensor:
        t = numbers_at(output, slots)  # (B, 5 + K)
        return pick(t[:, 4], of_class("labels", classes, t[:, 5:]))

    return score


def box_probability(places: Tensor | Sequence[Sequence[int]], labels: Tensor | Sequence[int] | int) -> Score:
    """The confidence of one slot for each image: a score for `deletion`, `insertion` and `road`, not for gradients.

    Args:
        places, labels: see `box_score`.

    Example:
        >>> model, image = yolo_tiny(num_classes=6, width=0.25), torch.rand(1, 3, 128, 128)
        >>> score = box_probability([[1, 0, 3, 4]], labels=2)
        >>> faithfulness.deletion(model, image, torch.rand(1, 128, 128), score, steps=4).shape
        torch.Size([1, 5])
    """
    return box_score(places, labels, "confidence")


def checked_places(places: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """Level, anchor, row and column of each slot as int64, (B, 4)."""
    try:
        numbers = torch.as_tensor(places)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.zeros(1, 4)  # no tensor of whole numbers, which is said next
    if numbers.dim() != 2 or numbers.shape[1] != 4 or not len(numbers):
        raise ValueError(f"places are {tuple(numbers.shape)}, expected (B, 4): level, anchor, row, column of each slot")
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise TypeError(
            f"places={places!r:.60} must be whole numbers: level, anchor, row, column, as detect gives them"
        )
    return numbers.long()


def numbers_at(output: Sequence[Tensor], places: Tensor) -> Tensor:
    """The 5 + K raw numbers of one slot for each image, (B, 5 + K), float32 at least."""
    if not isinstance(output, tuple | list) or not all(isinstance(raw, Tensor) and raw.dim() == 5 for raw in output):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the model gives {found}, not levels (B, 3, 5 + K, h, w): is it a YoloTiny?")
    if len(output[0]) != len(places):
        raise ValueError(f"{len(places)} places for {len(output[0])} images: give one slot for each, repeat the image")
    rows = []
    for i, (level, anchor, row, column) in enumerate(places.tolist()):
        sizes = [(raw.shape[1], *raw.shape[3:]) for raw in output[:2]]  # anchors, h, w
        if level not in range(len(sizes)) or any(
            x not in range(n) for x, n in zip((anchor, row, column), sizes[level], strict=True)
        ):
            raise ValueError(
                f"places[{i}] is level {level}, anchor {anchor}, row {row}, column {column}, but the levels have "
                f"{' and '.join(f'{n} x {h}x{w}' for n, h, w in sizes)} (anchors x cells): take what detect gives for "
                "images of this size"
            )
        rows.append(output[level][i, anchor, :, row, column])
    t = torch.stack(rows)
    return t.to(torch.promote_types(t.dtype, torch.float32))


# ---- all boxes of an image ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, repr=False)
class Explanation(Detections):
    """What was found in one image, the most confident first, with a map for each box. Its boxes are those of `image`.

    Args:
        boxes, labels, confidences, places: as in `Detections`, but boxes are in pixels of `image`. A place belongs to
            `seen`, and its first number is the level.
        image: (3, H, W), float32 from 0 to 1, as it was given.
        seen: (3, h, w), what the model saw: the image in its letterbox.
        where: the way between the two.
        raw: for each box ``{layer: map}``, raw and signed, (h, w) at the layer's resolution, of `seen`.
        maps: (n, H, W), what speaks for each box, at the size of `image`: raw maps cut off at 0, letterbox undone. Of
            several layers it is the sum, each divided by its peak first.
        classes: the names of the classes.
        threshold: the confidence that was asked for.
        best: the highest confidence in the image, and the name of its class, whether it was kept or not.
    """

    image: Tensor
    seen: Tensor
    where: Letterbox
    raw: tuple[dict[str, Tensor], ...]
    maps: Tensor
    classes: tuple[str, ...]
    threshold: float
    best: tuple[float, str]

    @property
    def levels(self) -> Tensor:
        """The level of each box, (n,): 0 with stride 32, 1 with stride 16."""
        return self.places[:, 0]

    @property
    def names(self) -> list[str]:
        """The name of the class of each box."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def peaks(self) -> list[dict[str, float]]:
        """The largest value of each raw map: where it is not positive, the layer says nothing for the box."""
        return [{layer: float(values.max()) for layer, values in maps.items()} for maps in self.raw]

    def __str__(self) -> str:
        """A line for each box, or how near the image comes to one."""
        if not len(self):
            return f"nothing above {self.threshold:g}; the highest confidence is {self.best[0]:.3g} ({self.best[1]})"
        lines = []
        for i, (box, level) in enumerate(zip(self.boxes.tolist(), self.levels.tolist(), strict=True)):
            peaks = ", ".join(f"{layer} {peak:.2g}" for layer, peak in self.peaks[i].items())
            corners = ", ".join(f"{value:.0f}" for value in box)
            lines.append(f"{i}: {self.names[i]} {self.confidences[i]:.2f} at {corners}; level {level}, peak of {peaks}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        H, W = self.image.shape[1:]
        return f"Explanation({len(self)} box{'es' * (len(self) != 1)} in {H}x{W} pixels)"


def explain_boxes(
    model: YoloTiny,
    image: Tensor,
    *,
    layers: Layers | None = None,
    method: Name | Method = "LayerCAM",
    kind: Kind = "log confidence",
    confidence: float = 0.25,
    iou: float = 0.45,
    most: int = 20,
    size: int | tuple[int, int] | None = None,
) -> Explanation:
    """Detect, then say for each box where the network looked. Needs torchvision, for non-maximum suppression.

    Args:
        model: it is left as it was. If it has ``model.classes``, as after `fit_detector`, these are the classes' names.
        image: (3, H, W), uint8, or float from 0 to 1, of any size.
        layers: a name, several names, or ``{level: name or names}`` for levels 0 (stride 32) and 1 (stride 16), as in
            ``model.named_modules()``. A level without one takes its default, "backbone.stage3.merge" for 0 and "feat1"
            for 1, both of stride 16. Several layers, ``{1: ("feat1", "P5_upsample")}``, become one map: each is cut off
            at 0, divided by its peak and resized to the finest of them, and they are added up.
        method: as for `cam`.
        kind: what is explained, see `box_score`.
        confidence, iou, most: as for `detect`.
        size: height and width of the letterbox, or one number for both, multiples of 32: take that of the training.
            None takes the image's own sides, up to the next multiples of 32; with such sides it stays as it is.

    Returns:
        `Explanation`, of length 0 if nothing is above the threshold; as text it says how near the image comes to it.

    Raises:
        ValueError: a level does not depend on a layer of its own, there is no such layer, or an option does not fit.
        TypeError: the model is no `YoloTiny`, or the image no tensor of such numbers.
        ImportError: torchvision is not installed.

    Example:
        >>> model, image = yolo_tiny(num_classes=6, width=0.25), torch.rand(3, 120, 200)
        >>> why = explain_boxes(model, image, confidence=0.0, most=3)
        >>> why, why.seen.shape, why.maps.shape
        (Explanation(3 boxes in 120x200 pixels), torch.Size([3, 128, 224]), torch.Size([3, 120, 200]))
        >>> print(explain_boxes(model, image, confidence=0.99))
        nothing above 0.99; the highest confidence is 0.0... (class ...)
    """
    if not isinstance(model, YoloTiny):
        raise TypeError(f"model must be a YoloTiny, got {type(model).__name__}: yolo_tiny(num_classes=...) makes one")
    choose("kind", kind, KINDS)
    if isinstance(method, str):
        choose("method", method, METHODS)
    chosen, classes = layers_of(model, layers), classes_of(model)
    seen, where = fitted(model, image, size)
    (found,) = detect(model, seen[None], confidence=confidence, iou=iou, most=10**9)  # some may be in the padding
    found = in_the_image(found, where, positive_int("most", most))
    raw = raw_maps(model, seen, found, chosen, kind, method)
    maps = [where.maps_out(resize(together(of_box), where.size)) for of_box in raw]
    value, label = (found.confidences[0], found.labels[0]) if len(found) else most_confident(model, seen, where)
    return Explanation(
        **vars(found),
        image=(image.detach() / (255 if image.dtype == torch.uint8 else 1)).float().cpu(),
        seen=seen.float().cpu(),
        where=where,
        raw=tuple(raw),
        maps=torch.cat([torch.zeros(0, *where.original), *maps]),
        classes=classes,
        threshold=confidence,
        best=(float(value), classes[int(label)]),
    )


def layers_of(model: YoloTiny, layers: Layers | None) -> dict[int, list[str]]:
    """The names of the layers for each level, all of which the model has."""
    given = layers if isinstance(layers, Mapping) else {} if layers is None else dict.fromkeys(DEFAULT, layers)
    if wrong := [level for level in given if level not in DEFAULT]:
        raise ValueError(f"layers name level {wrong[0]!r}: there are 0 (stride 32) and 1 (stride 16)")
    chosen = {level: names_of(model, name) for level, name in (DEFAULT | dict(given)).items()}
    for name in [*chosen[0], *chosen[1]]:
        layer_of(model, name)
    return chosen


def classes_of(model: YoloTiny) -> tuple[str, ...]:
    named = tuple(getattr(model, "classes", None) or (f"class {k}" for k in range(model.num_classes)))
    if len(named) != model.num_classes:
        raise ValueError(f"model.classes has {len(named)} names, but the model {model.num_classes} classes: name each")
    return named


def fitted(model: YoloTiny, image: Tensor, size: int | tuple[int, int] | None) -> tuple[Tensor, Letterbox]:
    """The image as the model takes it, (3, h, w) from 0 to 1, and where it stands in there."""
    _, H, W = picture(image).shape
    h, w = (-(-H // 32) * 32, -(-W // 32) * 32) if size is None else size_of(size)
    if h % 32 or w % 32:
        raise ValueError(f"size={size} must be multiples of 32: use {(-(-h // 32) * 32, -(-w // 32) * 32)}")
    inside, where = letterbox(image.detach(), (h, w))
    weight = next(model.parameters())
    return (inside / (255 if inside.dtype == torch.uint8 else 1)).to(weight.device, weight.dtype), where


def in_the_image(found: Detections, where: Letterbox, most: int) -> Detections:
    """The first detections with boxes in pixels of the image, without those that stand in the padding."""
    inside = dataclasses.replace(found, boxes=where.boxes_out(found.boxes))
    kept = has_area(inside.boxes).nonzero()[:most, 0]
    return Detections(**{name: values[kept] for name, values in vars(inside).items()})


def has_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


@torch.no_grad()
def most_confident(model: YoloTiny, seen: Tensor, where: Letterbox) -> tuple[float, int]:
    """The highest confidence of all slots whose box is in the image, and its class."""
    with evaluating(model):
        slots = decode(model(seen[None]), model.anchors)
    inside = has_area(where.boxes_out(slots.boxes[0]))  # (S,)
    confidences = slots.confidences[0] * inside[:, None]  # (S, K)
    if not confidences.isfinite().all():
        raise ValueError("the model gives NaN for this image: its weights are not finite, or its training went wrong")
    return float(confidences.max()), int(confidences.argmax()) % model.num_classes


# ---- their maps -----------------------------------------------------------------------------------------------------


def raw_maps(
    model: YoloTiny, seen: Tensor, found: Detections, layers: Mapping[int, list[str]], kind: Kind, method: Name | Method
) -> list[dict[str, Tensor]]:
    """For each detection {layer: raw signed map (h, w)}: copies of the image, and one slot explained in each."""
    refuse_unreached(found, layers)
    raw: dict[int, dict[str, Tensor]] = {}
    for level in set(found.places[:, 0].tolist()):
        for some in torch.split((found.places[:, 0] == level).nonzero()[:, 0], CHUNK):
            score = box_score(found.places[some], found.labels[some], kind)
            maps = cam(model, seen.expand(len(some), -1, -1, -1), layers[level], score, method)
            for row, i in enumerate(some.tolist()):
                raw[i] = {name: of_layer[row].cpu() for name, of_layer in maps.items()}
    return [raw[i] for i in range(len(found))]


def refuse_unreached(found: Detections, layers: Mapping[int, list[str]]) -> None:
    """An error if a detection is of a level that does not depend on a layer: its map would be blank."""
    for i, level in enumerate(found.places[:, 0].tolist()):
        for name in layers[level]:
            if name.split(".")[0] in UNREACHED[level]:
                others = {k: names[0] if len(names) == 1 else tuple(names) for k, names in layers.items()}
                raise ValueError(
                    f"detection {i} is of level {level} (stride {STRIDES[level]}), which {name} does not reach; that "
                    f"level depends on {REACHED[level]}: choose {DEFAULT[level]} for it, "
                    f"layers={others | {level: DEFAULT[level]}}"
                )


def together(raw: Mapping[str, Tensor]) -> Tensor:
    """One map of a box from those of its layers, (1, h, w): each is divided by its peak, for they share no unit."""
    parts = [positive(values[None]) for values in raw.values()]
    if len(parts) == 1:
        return parts[0]
    finest = max(((part.shape[1], part.shape[2]) for part in parts), key=math.prod)
    peaks = [part.max().clamp_min(torch.finfo(part.dtype).tiny) for part in parts]
    return torch.stack([resize(part / peak, finest) for part, peak in zip(parts, peaks, strict=True)]).sum(0)


def delete_confidence(
    model: YoloTiny,
    image: Tensor,
    place: Tensor | Sequence[int],
    label: int,
    values: Tensor,
    steps: int = 8,
    seed: int = 0,
    fill: Fill = mean_colour,
) -> Tensor:
    """The confidence of one detection while the top pixels of a map are covered: (steps + 1,). See `deletion`.

    Args:
        model, image: a detector, and (3, H, W) as it takes it: ``why.seen`` of an `Explanation`.
        place, label: level, anchor, row and column of the slot, and its class: ``why.places[i], why.labels[i]``.
        values: a map of that image, of any size: ``why.raw[i]["feat1"]``. It is resized.
        steps, seed, fill: as for `deletion`. One step should cover less than the object, or all maps look alike.

    Example:
        >>> model = yolo_tiny(num_classes=6, width=0.25)
        >>> why = explain_boxes(model, torch.rand(3, 128, 128), layers="feat2", confidence=0.0, most=1)
        >>> delete_confidence(model, why.seen, why.places[0], why.labels[0], why.raw[0]["feat2"], steps=4).shape
        torch.Size([5])
    """
    _, H, W = tensor("image", image, "3, H, W", floating=True).shape
    shown = resize(tensor("values", values, "h, w", floating=True)[None], (H, W))
    score = box_probability(torch.as_tensor(place)[None], int(label))
    return deletion(model, image[None], shown, score, fill=fill, steps=steps, seed=seed)[0]
