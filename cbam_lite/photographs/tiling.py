"""Large photographs in tiles that overlap: a defect of 40 pixels would vanish if 4000 were resized to 224.

Each tile is called by itself, and their maps are put together again. Near its border, a tile's map is wrong: the
network sees zeros there instead of the photograph. So an outer quarter of each overlap is not used, and the half in its
middle is blended::

    map = sum_t  v_t map_t / sum_t v_t        v_t: 0, then a ramp, then 1, from the border of the tile inwards
"""

import dataclasses

import torch
from torch import Tensor, nn

from cbam_lite.checks import a_module, output_of, positive_int, tensor, whole
from cbam_lite.explaining.gradcam import Score, cam, logit, resize, smooth
from cbam_lite.explaining.methods import Method, Name
from cbam_lite.networks.modes import evaluating
from cbam_lite.photographs.maps import device_of, last_map
from cbam_lite.training.batches import one_for_each


@dataclasses.dataclass(frozen=True)
class Tiles:
    """What `predict_tiles` found.

    Args:
        corners: row and column of the upper left pixel of each tile, (T, 2).
        probabilities: of each class in each tile, (T, classes).
        map: raw and signed, stitched to the size of the photograph, (H, W); None where nothing was to be explained.
        tile, overlap: in pixels.
        size: height and width of the photograph.
    """

    corners: Tensor
    probabilities: Tensor
    map: Tensor | None
    tile: int
    overlap: int
    size: tuple[int, int]

    def where(self, number: int) -> Tensor:
        """The probability of one class at each pixel, (H, W): that of the tiles around it, blended."""
        P = self.probabilities[:, number, None, None].expand(-1, self.tile, self.tile)
        return stitch(P, self.corners, self.size, self.overlap)


def predict_tiles(
    model: nn.Module,
    image: Tensor,
    tile: int,
    overlap: int,
    *,
    explain: int | Score | None = None,
    layer: str | None = None,
    method: Name | Method = "LayerCAM",
    width: int = 1,
    batch_size: int = 16,
) -> Tiles:
    """Probabilities of each tile of a large photograph, and one map of all of them.

    Where a quarter of the overlap is wider than what one place of the layer sees to one side, activations are exactly
    those of the whole photograph. Gradients come near them: each tile has its own, and its last mean is over fewer
    places, so the scale is another. HiResCAM of the plain `defect_net` at layer4, on a mosaic of 320x448, differs from
    the map computed at once by .65 of its norm for tiles of 64 without overlap, .43 for 64 / 32, .09 for 128 / 64 and
    .005 for 192 / 128. A gate that looks at the whole picture, as SE and CBAM have, makes each tile its own picture;
    for the CBAM network these are .97, .93, .57 and .25. There the two maps answer different questions.

    Args:
        model: (B, 3, tile, tile) -> logits (B, classes).
        image: one photograph, (3, H, W), uint8, or float from 0 to 1.
        tile: the side of a tile, in pixels: the size that the network was trained at, and a multiple of its stride.
        overlap: how many pixels neighbours share at least; a multiple of the stride, and at least the size of a defect,
            so that one tile sees it whole. A quarter of the tile is a good first try.
        explain: a class, whose logit the map explains, or a function as for `cam`, ``contrast(1, 0)`` for example.
            None makes no map.
        layer: where the map is taken; None takes `last_map`.
        method, width: of the map, as for `cam` and `smooth`.
        batch_size: tiles for one pass.

    Raises:
        ValueError: the photograph is smaller than a tile, the overlap is not smaller, or there is no layer with a map.
        TypeError: an argument is of another kind.

    Example:
        >>> model, card = trained_defect_net("plain")
        >>> found = predict_tiles(model, torch.rand(3, 200, 300), 64, 16, explain=3)
        >>> found.probabilities.shape, found.map.shape, found.where(3).shape
        (torch.Size([24, 8]), torch.Size([200, 300]), torch.Size([200, 300]))
    """
    a_module("model", model)
    _, H, W = tensor("image", image, "3, H, W").shape
    positive_int("tile", tile)
    if whole("overlap", overlap) >= tile:
        raise ValueError(f"overlap={overlap} must be smaller than tile={tile}: a quarter of it, for example")
    if min(H, W) < tile:
        raise ValueError(f"the photograph is {W}x{H}, smaller than tile={tile}: use a tile of at most {min(H, W)}")
    floats = image.float() / 255 if image.dtype == torch.uint8 else image
    corners = torch.tensor([(y, x) for y in starts(H, tile, overlap) for x in starts(W, tile, overlap)])
    layer = layer if explain is None else layer or last_map(model, floats[:, :tile, :tile])
    if explain is not None and layer is None:
        raise ValueError("no layer of the model gives a map (B, C, h, w): name one, with a method of your own")
    score = explain if explain is None or callable(explain) else logit(explain)
    parts, maps = [], []
    for some in torch.split(corners, positive_int("batch_size", batch_size)):
        tiles = torch.stack([floats[:, y : y + tile, x : x + tile] for y, x in some.tolist()]).to(device_of(model))
        with evaluating(model), torch.no_grad():
            parts.append(one_for_each(output_of(model, tiles), len(tiles)).double().softmax(1).cpu())
        if score is not None and layer is not None:
            raw = smooth(cam(model, tiles, layer, score, method)[layer].float().cpu(), width)
            maps.append(resize(raw, (tile, tile)))
    stitched = stitch(torch.cat(maps), corners, (H, W), overlap) if maps else None
    return Tiles(corners, torch.cat(parts), stitched, tile, overlap, (H, W))


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side; the last one ends at the border, so it may overlap more."""
    found = list(range(0, length - tile + 1, tile - overlap))
    return found if found[-1] == length - tile else [*found, length - tile]


def ramp(start: int, length: int, tile: int, overlap: int) -> Tensor:
    """The weight of each of a tile's pixels along one side, (tile,); 1 where the tile ends with the photograph.

    From the border inwards: 0 in the first quarter of the overlap, rising in the middle half, then 1.
    """
    distance = torch.arange(tile, dtype=torch.float64) + 0.5  # of a pixel's middle from the border
    rise = ((distance - overlap / 4) / max(overlap / 2, 1)).clamp(0, 1) if overlap else torch.ones_like(distance)
    weight = torch.ones_like(distance)
    weight = weight if start == 0 else weight * rise
    return weight if start + tile == length else weight * rise.flip(0)


def stitch(tiles: Tensor, corners: Tensor, size: tuple[int, int], overlap: int) -> Tensor:
    """Tiles (T, tile, tile) at their corners (T, 2), blended to one map (H, W)."""
    H, W = size
    tile, total, weights = (
        tiles.shape[1],
        torch.zeros(H, W, dtype=torch.float64),
        torch.zeros(H, W, dtype=torch.float64),
    )
    for values, (y, x) in zip(tiles, corners.tolist(), strict=True):
        weight = ramp(y, H, tile, overlap)[:, None] * ramp(x, W, tile, overlap)
        total[y : y + tile, x : x + tile] += weight * values
        weights[y : y + tile, x : x + tile] += weight
    return (total / weights).float()
