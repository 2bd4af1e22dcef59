"""Does a map say what the network uses? Tests that need no true mask: change the image, or the weights, and look again.

Maps may be signed here and are (N, H, W), at the size of the images: only the order of their pixels counts. Pixels of
equal value are ordered at random, by a seed; their order in memory would favour one corner.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cbam_lite.checks import a_module, function, number, output_of, sequence, tensor, whole
from cbam_lite.explaining.gradcam import Score, class_numbers, of_class
from cbam_lite.explaining.layers import layer_of
from cbam_lite.networks.modes import evaluating

Fill = Callable[[Tensor], Tensor]  # images -> what stands where pixels are taken away, same shape


def probability(classes: Tensor | Sequence[int] | int) -> Score:
    """The softmax of one class for each image; to measure with, not to take gradients of (see `logit`)."""
    numbers = class_numbers("classes", classes)
    return lambda output: of_class("classes", numbers, output.softmax(1) if isinstance(output, Tensor) else output)


def order(maps: Tensor, seed: int = 0) -> Tensor:
    """The rank of each pixel in its map, 0 for the largest value, (N, H, W), int64; ties at random."""
    N, H, W = finite("maps", tensor("maps", maps, "N, H, W")).shape
    shuffled = torch.randperm(H * W, generator=torch.Generator().manual_seed(whole("seed", seed))).to(maps.device)
    by_value = maps.flatten(1)[:, shuffled].argsort(stable=True, dim=1, descending=True)
    pixels = shuffled[by_value]  # (N, HW), the most important first
    ranks = torch.arange(H * W, device=maps.device).expand(N, -1)
    return torch.empty_like(pixels).scatter_(1, pixels, ranks).view(N, H, W)


def finite(name: str, maps: Tensor) -> Tensor:
    if not maps.isfinite().all():
        raise ValueError(f"{name} hold NaN or infinity, which cannot be ordered")
    return maps


def checked(model: nn.Module, images: Tensor, maps: Tensor, score: Score) -> None:
    """An error unless the model can be asked about these images, and every image has its map."""
    a_module("model", model)
    tensor("images", images, "N, C, H, W", floating=True, least=1)
    tensor("maps", maps, "N, H, W")
    function("score", score, "use score=probability(3) for one class, or a function of the model's output")
    if maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"images have the shape {tuple(images.shape)}, maps {tuple(maps.shape)}: give (N, C, H, W) and (N, H, W), "
            "and bring maps to the size of the images with resize(maps, images.shape[2:])"
        )
    finite("maps", maps)
    if maps.device != images.device:
        raise ValueError(f"maps are on {maps.device}, images on {images.device}: use maps.to(images.device)")


@torch.no_grad()
def scores(model: nn.Module, images: Tensor, score: Score) -> Tensor:
    """The score of each image, (N,), in eval mode; the model is left as it was."""
    with evaluating(model):
        result = score(output_of(model, images))
    if not isinstance(result, Tensor):
        raise TypeError(f"score gave {type(result).__name__}: compute a tensor (N,) from the model's output")
    if result.shape != images.shape[:1]:
        raise ValueError(
            f"score gave {tuple(result.shape)} for {len(images)} images: it has to give one number for each"
        )
    return result.float().cpu()


# ---- take pixels away, or show them ---------------------------------------------------------------------------------


def mean_colour(images: Tensor) -> Tensor:
    """Each image's mean colour everywhere: what `deletion` puts in."""
    N, C, H, W = tensor("images", images, "N, C, H, W", floating=True).shape
    return images.mean((2, 3), keepdim=True).expand_as(images)


def blurred(images: Tensor) -> Tensor:
    """Each image without its details: what `insertion` starts from. A sharp-edged hole would be a detail of its own."""
    N, C, H, W = tensor("images", images, "N, C, H, W", floating=True).shape
    few = nn.functional.adaptive_avg_pool2d(images, (max(1, H // 16), max(1, W // 16)))
    return nn.functional.interpolate(few, (H, W), mode="bicubic", align_corners=False)


def deletion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    score: Score,
    *,
    fill: Fill = mean_colour,
    steps: int = 16,
    seed: int = 0,
) -> Tensor:
    """Take away the most important pixels first: how fast does the score fall? A good map gives a small `auc`.

    Petsiuk et al., RISE, BMVC 2018. What is put in matters: images with holes are unlike what the network was
    trained on, and another `fill` may give another order of methods.

    Args:
        model, score: as for `cam`; take `probability`, which lies between 0 and 1.
        images: (N, C, H, W), as the model takes them.
        maps: (N, H, W).
        fill: what stands where pixels were.
        steps: the image loses 1/steps of its pixels at a time.
        seed: of the order of equal values.

    Returns:
        (N, steps + 1): the score with 0, 1/steps, ..., all pixels taken away.
    """
    checked(model, images, maps, score)
    return exchange(model, images, filling(fill, images), maps, score, steps, seed)


def insertion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    score: Score,
    *,
    fill: Fill = blurred,
    steps: int = 16,
    seed: int = 0,
) -> Tensor:
    """Show the most important pixels first: how fast does the score rise? A good map gives a large `auc`.

    As `deletion`, from nothing (that is, `fill`) to the whole image. Returns (N, steps + 1).
    """
    checked(model, images, maps, score)
    return exchange(model, filling(fill, images), images, maps, score, steps, seed)


def filling(fill: Fill, images: Tensor) -> Tensor:
    """What stands where pixels are taken away."""
    found = function("fill", fill, "give one of images, mean_colour or blurred for example")(images)
    if not isinstance(found, Tensor) or found.shape != images.shape:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"fill gave {shape} for images {tuple(images.shape)}: it has to give the same shape")
    return found


def exchange(model: nn.Module, start: Tensor, end: Tensor, maps: Tensor, score: Score, steps: int, seed: int) -> Tensor:
    """The score while pixels of `start` become those of `end`, the most important first: (N, steps + 1)."""
    ranks, pixels = order(maps, seed)[:, None], maps[0].numel()  # (N, 1, H, W)
    steps = whole("steps", steps, 1)
    counts = [round(step / steps * pixels) for step in range(steps + 1)]
    return torch.stack([scores(model, torch.where(ranks < count, end, start), score) for count in counts], 1)


def auc(curves: Tensor) -> Tensor:
    """The area under curves (N, steps + 1) over the share of pixels, by trapezoids: (N,)."""
    N, points = tensor("curves", curves, "N, steps + 1").shape
    if points < 2:
        raise ValueError(f"curves has the shape {tuple(curves.shape)}: an area needs at least 2 points")
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


# ---- ROAD: take pixels away without leaving a hole ------------------------------------------------------------------


def impute(image: Tensor, gone: Tensor, noise: float = 0.01, seed: int = 0) -> Tensor:
    """Fill pixels from their neighbours, so that a hole shows neither its shape nor what was in it. (C, H, W)

    Each pixel that is gone becomes the mean of its eight neighbours, those at a side with weight 1/6 and those at a
    corner with 1/12; as many of them are gone, too, that is a sparse linear system. Then a little noise is added. Rong
    et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022. Needs SciPy.

    Args:
        image: (C, H, W).
        gone: (H, W), bool.
        noise: its standard deviation.

    Raises:
        ValueError: all pixels are gone.
    """
    C, H, W = tensor("image", image, "C, H, W", floating=True, least=1).shape
    if not isinstance(gone, Tensor) or gone.dtype != torch.bool:
        found = gone.dtype if isinstance(gone, Tensor) else type(gone).__name__
        raise TypeError(f"gone is {found}: give a torch.Tensor (H, W) of bool, True where a pixel is gone")
    if gone.shape != (H, W):
        raise ValueError(f"gone has the shape {tuple(gone.shape)}, but the image {tuple(image.shape)} needs {(H, W)}")
    number("noise", noise, 0)
    whole("seed", seed)
    if gone.all():
        raise ValueError("all pixels are gone: nothing is left to fill them from")
    if not gone.any():
        return image.clone()
    values = filled(image.double().cpu().numpy().reshape(C, -1), gone.cpu().numpy())
    values += noise * np.random.default_rng(seed).standard_normal(values.shape)
    result = image.flatten(1).clone()
    result[:, gone.flatten()] = torch.from_numpy(values).to(image)
    return result.view(C, H, W)


def filled(pixels: NDArray[np.float64], gone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solve for the pixels that are gone: pixels (C, HW), gone (H, W) -> (C, gone pixels)."""
    try:
        from scipy import sparse
        from scipy.sparse.linalg import spsolve
    except ImportError as error:
        raise ImportError("ROAD solves a sparse linear system with SciPy: pip install scipy") from error
    H, W = gone.shape
    number = np.arange(H * W).reshape(H, W)
    links = []  # from each pixel to its neighbour at (dy, dx), where there is one
    for dy, dx, weight in [(0, 1, 1 / 6), (1, 0, 1 / 6), (1, 1, 1 / 12), (1, -1, 1 / 12)]:
        here = number[: H - dy, max(0, -dx) : W - max(0, dx)].ravel()
        there = number[dy:, max(0, dx) : W + min(0, dx)].ravel()
        links.append(sparse.coo_array((np.full(len(here), weight), (here, there)), shape=(H * W, H * W)))
    half = sum(links[1:], links[0])
    weights = sparse.csr_array(half + half.T)
    a, known = gone.ravel().nonzero()[0], (~gone).ravel().nonzero()[0]
    system = sparse.diags_array(weights.sum(1)[a]) - weights[a][:, a]  # at a border there are fewer neighbours
    return spsolve(sparse.csc_array(system), weights[a][:, known] @ pixels[:, known].T).reshape(len(a), -1).T


FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)


def road(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    score: Score,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Remove and debias: the score after the most relevant pixels are imputed first, and after the least relevant.

    Exactly the given share of pixels is taken by rank. A threshold by percentile would take far more from a map that
    is zero in most places. `combined` makes one number of both.

    Args:
        model, images, maps, score: as for `deletion`.
        fractions: the shares of pixels that are taken away, each above 0 and below 1.
        seed: of the noise and of the order of equal values.

    Returns:
        ``(morf, lerf)``, each (N, fractions): most relevant first, least relevant first.
    """
    checked(model, images, maps, score)
    if not all(0 < fraction < 1 for fraction in sequence("fractions", fractions)):
        raise ValueError(f"fractions={tuple(fractions)} are shares of the image: use numbers above 0 and below 1")
    ranks, pixels = order(maps, seed), maps[0].numel()
    curves = []
    for from_the_top in (True, False):
        taken = ranks if from_the_top else pixels - 1 - ranks
        for fraction in fractions:
            pairs = zip(images, taken < round(fraction * pixels), strict=True)
            changed = torch.stack([impute(image, gone, seed=seed + i) for i, (image, gone) in enumerate(pairs)])
            curves.append(scores(model, changed, score))
    both = torch.stack(curves, 1)  # (N, 2 x fractions)
    return both[:, : len(fractions)], both[:, len(fractions) :]


def combined(morf: Tensor, lerf: Tensor) -> Tensor:
    """ROAD combined: the mean of (LeRF - MoRF) / 2, (N,). Larger is better; a random map gives about 0."""
    if tensor("morf", morf, "N, fractions").shape != tensor("lerf", lerf, "N, fractions").shape:
        raise ValueError(
            f"morf is {tuple(morf.shape)} and lerf {tuple(lerf.shape)}: give both results of one road(...)"
        )
    return (lerf - morf).mean(1) / 2


# ---- sanity: does the map depend on what was learned? ---------------------------------------------------------------


def cascade(model: nn.Module, stages: Sequence[str], seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Forget what was learned, stage by stage, from the output down: yields each stage's name and the model so far.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: a map that stays the same shows edges of the image,
    not what the network knows. Batch norm forgets its statistics, too. The model itself is not touched.

    Args:
        model: the trained network.
        stages: names of modules, the one next to the output first: ``["fc", "layer4", "layer3", ...]``.
        seed: of the new weights.

    Raises:
        ValueError: there is no such module, it has no weights, or one of its modules cannot be initialised.
        TypeError: `stages` is no list of names.
    """
    a_module("model", model)
    whole("seed", seed)
    if isinstance(stages, str) or not isinstance(stages, Iterable) or not all(isinstance(s, str) for s in stages):
        raise TypeError(f"stages={stages!r:.60} must be a list of names, from the output down: ['fc', 'layer4']")
    net, forgetful = copy.deepcopy(model), []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for stage in stages:
            forget(stage, layer_of(net, stage))
            forgetful.append((stage, copy.deepcopy(net)))
    return iter(forgetful)  # behind the block, so that random numbers drawn by the caller change nothing


def forget(name: str, stage: nn.Module) -> None:
    """Initialise every module of a stage anew."""
    own = [(child, m) for child, m in stage.named_modules() if any(True for _ in m.parameters(recurse=False))]
    if not own:
        raise ValueError(f"{name} has no weights to forget: choose a stage that has")
    for child, part in own:
        if not hasattr(part, "reset_parameters"):
            raise ValueError(f"{name}.{child} ({type(part).__name__}) has weights, but no reset_parameters()")
        part.reset_parameters()


def rank_correlation(a: Tensor, b: Tensor, *, absolute: bool = False) -> Tensor:
    """Spearman's correlation of two maps (N, h, w), image by image: (N,), float64. A map of one value gets 0.

    Args:
        a, b: signed maps of one size.
        absolute: compare how strong places are, not which sign they have. Needs SciPy.
    """
    if tensor("a", a, "N, h, w").shape != tensor("b", b, "N, h, w").shape:
        raise ValueError(f"maps of {tuple(a.shape)} and {tuple(b.shape)} cannot be compared: resize one of them")
    try:
        from scipy.stats import rankdata
    except ImportError as error:
        raise ImportError("ranks with ties are SciPy's: pip install scipy") from error
    flat = [x.flatten(1).abs() if absolute else x.flatten(1) for x in (a, b)]
    ranks = [torch.from_numpy(rankdata(x.cpu().numpy(), axis=1)).double() for x in flat]  # newer SciPys keep float32
    centred = [nn.functional.normalize(r - r.mean(1, keepdim=True)) for r in ranks]  # normalize leaves 0 at 0
    return (centred[0] * centred[1]).sum(1)
