"""Does a map lie on the object? Scores against the true mask, beside what chance and a perfect map would get.

A score takes maps (N, H, W), not negative and at the size of the masks, and masks (N, H, W), bool::

    maps = resize(positive(raw), masks.shape[1:])

Score what `cam` gives, cut off at 0, never a normalised map: normalising takes the floor away, and energy counts it. An
image whose mask is empty has no score, NaN; leave it out of a mean with ``nanmean``, and say how many there are.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cbam_lite.checks import height_and_width, number, sequence, tensor, whole
from cbam_lite.explaining.gradcam import resize


def checked(maps: Tensor, masks: Tensor) -> tuple[int, int, int]:
    """N, H, W, or an error that says what is wrong with the maps or the masks."""
    if tensor("maps", maps, "N, H, W").shape != tensor("masks", masks, "N, H, W").shape:
        raise ValueError(
            f"maps have the shape {tuple(maps.shape)}, masks {tuple(masks.shape)}: both are (N, H, W); bring maps to "
            "the size of the masks with resize(positive(maps), masks.shape[1:])"
        )
    if masks.device != maps.device:
        raise ValueError(f"masks are on {masks.device}, maps on {maps.device}: use masks.to(maps.device)")
    of_bool("masks", masks)
    if (of_numbers(maps) < 0).any():
        raise ValueError(f"maps go down to {float(maps.min()):.3g}: score what speaks for the class, positive(maps)")
    N, H, W = maps.shape
    return N, H, W


def of_bool(name: str, masks: Tensor, axes: str = "N, H, W") -> Tensor:
    if tensor(name, masks, axes).dtype != torch.bool:
        raise TypeError(f"{name} are {masks.dtype}: give bool, e.g. {name} > 127")
    return masks


def of_numbers(maps: Tensor) -> Tensor:
    if not tensor("maps", maps, "N, H, W").isfinite().all():
        raise ValueError("maps hold NaN or infinity, which no score can rank")
    return maps


def without_empty(score: Tensor, masks: Tensor) -> Tensor:
    """The scores (N,), NaN where the mask is empty."""
    return score.masked_fill(~masks.flatten(1).any(1), torch.nan)


# ---- one point ------------------------------------------------------------------------------------------------------


def peak(maps: Tensor) -> Tensor:
    """Row and column of the largest value, (N, 2), float64. Where several pixels share it: their centroid.

    A resized map has its maximum on several pixels as soon as the maximum stands at a border; ``argmax`` would take the
    one at the top left. Of maxima that lie apart, the centroid may lie between them: such a map does not say which
    place it means. A map that is zero everywhere points nowhere: NaN.
    """
    N, H, W = of_numbers(maps).shape
    top = maps.amax((1, 2), keepdim=True)
    largest = (maps >= top * (1 - 1e-6)) & (top > 0)  # resizing may round equal values apart
    count = largest.sum((1, 2))
    rows = torch.arange(H, dtype=torch.float64, device=maps.device)
    columns = torch.arange(W, dtype=torch.float64, device=maps.device)
    return torch.stack([largest.sum(2).double() @ rows, largest.sum(1).double() @ columns], 1) / count[:, None]


def pointing(maps: Tensor, masks: Tensor, tolerance: float = 0.0) -> Tensor:
    """Pointing game: 1 where the peak of a map hits its mask, else 0. (N,)

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016. The rule for ties is in `peak`; a map
    that is zero everywhere misses. A blind guess hits with the probability `area`.

    Args:
        maps, masks: (N, H, W).
        tolerance: how far from the mask a hit may be, in pixels; the literature takes 15 for photographs of 224.

    Raises:
        ValueError: the tolerance is negative, or maps and masks are not as `checked` wants them.
    """
    N, H, W = checked(maps, masks)
    if number("tolerance", tolerance) < 0:
        raise ValueError(f"tolerance={tolerance} is a distance in pixels: use 0 or more")
    point = peak(maps)
    rows, columns = torch.arange(H, device=maps.device), torch.arange(W, device=maps.device)
    dy = ((rows - point[:, :1]).abs() - 0.5).clamp_min(0)  # (N, H), to the pixel's edge: a pixel is a square
    dx = ((columns - point[:, 1:]).abs() - 0.5).clamp_min(0)  # (N, W)
    near = dy[:, :, None] ** 2 + dx[:, None, :] ** 2 <= tolerance**2  # (N, H, W); NaN is not near
    return without_empty((near & masks).flatten(1).any(1).float(), masks)


# ---- the whole map --------------------------------------------------------------------------------------------------


def area(masks: Tensor) -> Tensor:
    """The share of the image that a mask covers, (N,): what `energy` and `pointing` give by chance."""
    return without_empty(of_bool("masks", masks).float().mean((1, 2)), masks)


def energy(maps: Tensor, masks: Tensor) -> Tensor:
    """The share of a map's sum that lies in its mask, (N,). NaN also where the map is zero everywhere.

    ::

        energy = sum_mask S / sum S

    Wang et al., Score-CAM, CVPRW 2020, call it the energy-based pointing game.
    """
    checked(maps, masks)
    S = maps.double()  # a sum over many pixels may leave the range of float16
    return without_empty((S * masks).sum((1, 2)) / S.sum((1, 2)), masks)


def lift(maps: Tensor, masks: Tensor) -> Tensor:
    """How many times more energy lies in the mask than chance puts there: `energy` / `area`, (N,)."""
    return energy(maps, masks) / area(masks)


def above(maps: Tensor, tau: float) -> Tensor:
    """The pixels with at least the share tau of their map's maximum, (N, H, W) bool; none where the map is zero."""
    of_numbers(maps)
    if not 0 <= number("tau", tau) <= 1:
        raise ValueError(f"tau={tau} is a share of the map's maximum: use 0 to 1")
    return (maps >= tau * maps.amax((1, 2), keepdim=True)) & (maps > 0)


def mask_iou(maps: Tensor, masks: Tensor, tau: float = 0.5) -> Tensor:
    """Intersection over union of the mask and the pixels `above` tau, (N,). A zero map gets 0."""
    checked(maps, masks)
    found = above(maps, tau)
    return without_empty((found & masks).sum((1, 2)) / (found | masks).sum((1, 2)), masks)


# ---- from a map to boxes --------------------------------------------------------------------------------------------


def boxes_of_parts(mask: Tensor) -> Tensor:
    """The box of each connected part of one mask (H, W), the largest part first: (parts, 4), int64.

    A box is x0, y0, x1, y1; x1 and y1 are the first column and row outside, as in `training.images.boxes_of`. Pixels
    that touch at a corner belong together. The result is on the CPU. Needs SciPy.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError("connected parts are found by SciPy: pip install scipy") from error
    of_bool("mask", mask, "H, W")
    numbers, count = ndimage.label(mask.cpu().numpy(), np.ones((3, 3)))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(numbers)])
    return torch.from_numpy(boxes.reshape(-1, 4)[np.argsort(-sizes, kind="stable")])


def box_of_map(maps: Tensor, tau: float = 0.2) -> Tensor:
    """From heat map to box: the box of the largest connected part `above` tau, (N, 4); 0, 0, 0, 0 for a zero map.

    Zhou et al., CAM, CVPR 2016, take 0.2 of the maximum; the Grad-CAM paper 0.15.
    """
    parts = [boxes_of_parts(found) for found in above(maps, tau)]
    nothing = torch.zeros(4, dtype=torch.int64)
    rows = [boxes[0] if len(boxes) else nothing for boxes in parts]
    return torch.stack([nothing, *rows])[1:].to(maps.device)  # the first row, so that no images give no boxes


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) and (..., 4), which broadcast; 0 for boxes without an area."""
    for name, boxes in (("a", a), ("b", b)):
        if tensor(name, boxes, "..., ...").shape[-1:] != (4,):
            raise ValueError(f"{name} has the shape {tuple(boxes.shape)}, expected (..., 4): x0, y0, x1, y1")
        if not (boxes[..., :2] <= boxes[..., 2:]).all():
            raise ValueError(f"{name} holds a box that ends before it begins, or NaN: give x0 <= x1 and y0 <= y1")
    try:
        torch.broadcast_shapes(a.shape, b.shape)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ValueError(
            f"a {tuple(a.shape)} and b {tuple(b.shape)} do not broadcast: use a[:, None] for all pairs"
        ) from error
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    return torch.where(union > 0, both / union, 0)


TAUS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def box_ious(maps: Tensor, masks: Tensor, taus: Sequence[float] = TAUS) -> Tensor:
    """For each image and each tau: how well the best of the map's boxes fits the best of the mask's. (N, taus)

    Both have a box for each connected part. The table is on the CPU; it is what `max_box_acc_v2` is computed from.
    """
    checked(maps, masks)
    shares = sequence("taus", taus, 0, 1)
    result = torch.zeros(len(maps), len(shares))
    for column, tau in enumerate(shares):
        for row, (found, mask) in enumerate(zip(above(maps, tau), masks, strict=True)):
            ours, true = boxes_of_parts(found), boxes_of_parts(mask)
            if len(ours) and len(true):
                result[row, column] = box_iou(ours[:, None], true).max()
    result[~masks.flatten(1).any(1).cpu()] = torch.nan
    return result


def max_box_acc_v2(ious: Tensor, deltas: Sequence[float] = (0.3, 0.5, 0.7), tuned_on: Tensor | None = None) -> float:
    """MaxBoxAccV2: how often a box fits, for the best tau, averaged over what "fits" may mean.

    ::

        mean over delta of  max over tau of  share of images with IoU >= delta

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020. They take every thousandth
    as a tau; ours are those of `box_ious`.

    Args:
        ious: what `box_ious` gives, (N, taus); rows of NaN are left out.
        deltas: the IoU from which on a box fits.
        tuned_on: another such table, (M, taus). Then tau is chosen there, not on the images that are scored.
    """
    N, taus = tensor("ious", ious, "N, taus").shape
    tuned_on = ious if tuned_on is None else tensor("tuned_on", tuned_on, "M, taus")
    if tuned_on.shape[1] != taus or bool(tuned_on.isnan().any(1).all()) > bool(ious.isnan().any(1).all()):
        raise ValueError(f"tuned_on {tuple(tuned_on.shape)} needs {taus} taus, as ious has, and an image with a mask")
    fits = sequence("deltas", deltas, 0, 1)
    ious, tuned_on = ious[~ious.isnan().any(1)], tuned_on[~tuned_on.isnan().any(1)]
    best = [int((tuned_on >= delta).float().mean(0).argmax()) for delta in fits]
    shares = [(ious[:, tau] >= delta).float().mean() for tau, delta in zip(best, fits, strict=True)]
    return float(torch.stack(shares).mean())


# ---- all pixels of all images ---------------------------------------------------------------------------------------


def pixel_counts(maps: Tensor, masks: Tensor, bins: int = 1000) -> tuple[Tensor, Tensor]:
    """How many pixels of each image, inside its mask and in all, have which share of its maximum: twice (N, bins).

    Bin 0 holds the smallest values, and all pixels of a zero map. It is what `px_ap` is computed from.
    """
    N, H, W = checked(maps, masks)
    bins, S = whole("bins", bins, 1), maps.double()
    share = S / S.amax((1, 2), keepdim=True).clamp_min(torch.finfo(S.dtype).tiny)
    place = (share * bins).long().clamp_max(bins - 1).flatten(1)  # (N, HW)
    empty = torch.zeros(N, bins, dtype=torch.float64, device=maps.device)
    inside = empty.scatter_add(1, place, masks.flatten(1).double())
    return inside, empty.scatter_add(1, place, torch.ones_like(masks.flatten(1), dtype=torch.float64))


def px_ap(inside: Tensor, total: Tensor) -> Tensor:
    """PxAP: average precision of "this pixel belongs to the mask", over the pixels of all images together.

    ::

        sum over tau of  Prec(tau) (Rec(tau) - Rec(next higher tau))

    Choe et al., CVPR 2020. It needs no threshold. Chance is the share of all pixels that lie in masks.

    Args:
        inside, total: what `pixel_counts` gives, summed over the images, (..., bins): ``px_ap(inside.sum(0), ...)``.

    Returns:
        (...): one number for each row; NaN where no pixel lies in a mask.
    """
    if tensor("inside", inside, "...").shape != tensor("total", total, "...").shape or (inside > total).any():
        raise ValueError(
            f"inside {tuple(inside.shape)} and total {tuple(total.shape)} are no counts of the same pixels: give both "
            "results of pixel_counts, in its order"
        )
    found, kept = inside.flip(-1).cumsum(-1), total.flip(-1).cumsum(-1)  # from the highest tau down
    precision = found / kept.clamp_min(1)
    return (precision * inside.flip(-1)).sum(-1) / found[..., -1]


# ---- what to compare with: a perfect map, and blind ones ------------------------------------------------------------


def perfect_maps(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """The grid ceiling: the mask itself, seen through a grid of `size`, then resized as a map would be. (N, H, W)

    Each cell holds the share of it that the mask covers. A map that marks all of the object can hardly score better at
    that resolution, whatever the method. It is no strict bound: one cell in the middle of a large object has all of its
    energy inside, though it misses most of the object.
    """
    N, H, W = of_bool("masks", masks).shape
    cells = torch.nn.functional.adaptive_avg_pool2d(masks[:, None].float(), height_and_width("size", size))[:, 0]
    return resize(cells, (H, W))


def uniform_maps(masks: Tensor) -> Tensor:
    """The same value everywhere, (N, H, W): energy and PxAP give the area of the mask. Its point is the centre."""
    return torch.ones_like(of_bool("masks", masks), dtype=torch.float32)


def centre_maps(masks: Tensor, width: float = 0.25) -> Tensor:
    """A Gaussian in the centre, whose standard deviation is `width` of the sides, (N, H, W): photographers' chance."""
    N, H, W = of_bool("masks", masks).shape
    if number("width", width) <= 0:
        raise ValueError(f"width={width} is a share of the sides: use a number above 0")
    y = torch.linspace(-0.5 + 0.5 / H, 0.5 - 0.5 / H, H, device=masks.device)
    x = torch.linspace(-0.5 + 0.5 / W, 0.5 - 0.5 / W, W, device=masks.device)
    bell = torch.exp(-(y[:, None] ** 2 + x**2) / (2 * width**2))
    return bell.expand(N, H, W)


def edge_maps(images: Tensor) -> Tensor:
    """How steeply the brightness of images (N, 3, H, W) changes, by Sobel's kernels: (N, H, W). It knows no class."""
    N, C, H, W = tensor("images", images, "N, 3, H, W").shape
    grey = torch.nn.functional.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device)
    slopes = torch.nn.functional.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])  # (N, 2, H, W)
    return slopes.square().sum(1).sqrt()


def mean_activation(A: Tensor, G: Tensor) -> Tensor:
    """As a method for `cam`: how much a place excites the channels, mean_k abs(A_k), whatever the class."""
    B, C, h, w = tensor("A", A, "B, C, h, w", floating=True).shape
    return A.abs().mean(1)


# ---- how sure we are ------------------------------------------------------------------------------------------------


def draws(N: int, resamples: int = 1000, seed: int = 0) -> Tensor:
    """The bootstrap: how often each of N images is drawn, in each resample; (resamples, N), float64, rows sum to N.

    ``draws(N) @ values / N`` are the means of all resamples. The same seed draws the same images, so differences of
    two networks are paired.
    """
    if whole("N", N) < 2:
        raise ValueError(f"{N} images have no spread: an interval needs at least 2")
    random = np.random.default_rng(whole("seed", seed))
    counts = random.multinomial(N, np.full(N, 1 / N), size=whole("resamples", resamples, 1))
    return torch.from_numpy(counts).double()


def percentiles(samples: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Between which two values the share `level` of the samples lies, equally much on both sides."""
    tensor("samples", samples, "resamples", least=1)
    tails = torch.tensor([(1 - number("level", level, 0, 1)) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(samples.double().cpu(), tails)
    return float(low), float(high)


def paired_bootstrap(
    a: Tensor, b: Tensor | float = 0.0, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of a - b over images, and its interval: mean, low, high. If it contains 0, these images do not decide.

    Efron's percentile bootstrap: images are drawn again and again, with replacement, each with both of its scores. It
    tells how sure we are of these two networks, not of two kinds of network: for that, train several with other seeds
    and use `mean_interval`.

    Args:
        a, b: scores of the same images, (N,); images with NaN in either are left out. b = 0 gives the interval of a
            mean.
        resamples: how often N images are drawn.
        level: the share of resamples inside the interval.
        seed: of the draws.

    Raises:
        ValueError: the lengths differ, or fewer than 2 images have both scores.
    """
    tensor("a", a, "N")
    other = tensor("b", b, "N").double().cpu() if isinstance(b, Tensor) and b.dim() else number("b", b)
    if isinstance(other, Tensor) and a.shape != other.shape:
        raise ValueError(f"{len(a)} scores cannot be paired with {len(other)}: give those of the same images, in order")
    difference = a.double().cpu() - other
    difference = difference[~difference.isnan()]
    N = len(difference)
    low, high = percentiles(draws(N, resamples, seed) @ difference / N, level)
    return math.fsum(difference) / N, low, high
