"""Large photographs in tiles: stitched maps against maps computed at once, seams, and where tiles begin."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_lite import cam, make_defects, predict_tiles, trained_defect_net
from cbam_lite.explaining.gradcam import contrast, logit, resize
from cbam_lite.photographs.tiling import ramp, starts, stitch


def activation(A: Tensor, G: Tensor) -> Tensor:
    """A method whose map depends on places nearby alone."""
    return A.abs().mean(1)


def mosaic() -> Tensor:
    """A photograph of 320x448 that is made of 35 defects, (3, H, W)."""
    rows = make_defects(35, seed=3).images.reshape(5, 7, 3, 64, 64)
    return rows.permute(2, 0, 3, 1, 4).reshape(3, 320, 448)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return mosaic()


def apart(stitched: Tensor, at_once: Tensor) -> float:
    """How far two maps are apart, as a share of the norm, whatever their scale."""
    scale = (stitched * at_once).sum() / stitched.square().sum()
    return float((scale * stitched - at_once).norm() / at_once.norm())


# ---- the map of the whole photograph --------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "tile", "overlap"), [("layer1", 64, 32), ("layer2", 128, 64), ("layer3", 192, 128)])
def test_stitched_activations_are_those_of_the_whole_photograph(image, layer: str, tile: int, overlap: int) -> None:
    """Everywhere, not only away from seams: what a tile's border has changed is not used."""
    model, _ = trained_defect_net("plain")
    at_once = resize(cam(model, image[None] / 255, layer, logit(3), activation)[layer], (320, 448))[0]
    found = predict_tiles(model, image, tile, overlap, explain=3, layer=layer, method=activation).map
    torch.testing.assert_close(found, at_once, rtol=1e-5, atol=1e-5)


def test_without_overlap_there_are_seams_and_between_them_the_map_is_right(image) -> None:
    model, _ = trained_defect_net("plain")
    at_once = resize(cam(model, image[None] / 255, "layer1", logit(3), activation)["layer1"], (320, 448))[0]
    found = predict_tiles(model, image, 64, 0, explain=3, layer="layer1", method=activation).map
    off = (found - at_once).abs() / at_once.max()
    assert off.max() > 0.05
    y, x = torch.meshgrid(torch.arange(320), torch.arange(448), indexing="ij")
    inside = (y % 64 >= 8) & (y % 64 < 56) & (x % 64 >= 8) & (x % 64 < 56)  # layer1 sees 5 pixels to each side
    assert off[inside].max() < 1e-5


def test_gradient_maps_come_near_with_larger_tiles_as_the_docstring_says(image) -> None:
    model, _ = trained_defect_net("plain")
    at_once = resize(cam(model, image[None] / 255, "layer4", logit(3), "HiResCAM")["layer4"], (320, 448))[0]
    for tile, overlap, expected in ((64, 0, 0.65), (64, 32, 0.43), (128, 64, 0.09), (192, 128, 0.005)):
        found = predict_tiles(model, image, tile, overlap, explain=3, layer="layer4", method="HiResCAM").map
        assert apart(found, at_once) == pytest.approx(expected, rel=0.1)


def test_a_gate_that_sees_the_whole_picture_makes_other_maps_as_the_docstring_says(image) -> None:
    model, _ = trained_defect_net("CBAM")
    at_once = resize(cam(model, image[None] / 255, "layer4", logit(3), "HiResCAM")["layer4"], (320, 448))[0]
    for tile, overlap, expected in ((64, 32, 0.93), (192, 128, 0.25)):
        found = predict_tiles(model, image, tile, overlap, explain=3, layer="layer4", method="HiResCAM").map
        assert apart(found, at_once) == pytest.approx(expected, rel=0.1)


# ---- tiles ----------------------------------------------------------------------------------------------------------


def test_each_tile_is_called_by_itself(image) -> None:
    model, _ = trained_defect_net("CBAM")
    found = predict_tiles(model, image, 64, 0, batch_size=3)
    assert found.corners.tolist() == [[64 * row, 64 * column] for row in range(5) for column in range(7)]
    expected = model(make_defects(35, seed=3).images / 255).softmax(1)
    torch.testing.assert_close(found.probabilities.float(), expected, rtol=1e-4, atol=1e-5)
    assert found.map is None


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "expected"),
    [(100, 40, 10, [0, 30, 60]), (101, 40, 10, [0, 30, 60, 61]), (40, 40, 39, [0]), (90, 30, 0, [0, 30, 60])],
)
def test_tiles_begin_so_that_every_pixel_is_seen(length: int, tile: int, overlap: int, expected: list[int]) -> None:
    assert starts(length, tile, overlap) == expected


def test_the_ramps_of_neighbours_add_up_to_1_and_leave_the_outer_quarters_out() -> None:
    first, second = ramp(0, 56, 32, 8), ramp(24, 56, 32, 8)
    together = torch.zeros(56, dtype=torch.float64)
    together[:32] += first
    together[24:] += second
    np.testing.assert_allclose(together, 1)
    assert first[-2:].tolist() == [0, 0] == second[:2].tolist()
    assert first[:25].tolist() == [1] * 25  # at the border of the photograph nothing is faded
    assert first[26:30].tolist() == [0.875, 0.625, 0.375, 0.125]


@pytest.mark.parametrize("overlap", [0, 1, 2, 3, 5, 16])
def test_one_value_stays_one_value(overlap: int) -> None:
    corners = torch.tensor([(y, x) for y in starts(50, 20, overlap) for x in starts(43, 20, overlap)])
    found = stitch(torch.full((len(corners), 20, 20), 0.7), corners, (50, 43), overlap)
    torch.testing.assert_close(found, torch.full((50, 43), 0.7))


def test_where_is_the_probability_of_the_tiles_around_a_pixel() -> None:
    class Bright(nn.Module):
        def forward(self, x):
            mean = x.mean((1, 2, 3))
            return torch.stack([mean, 1 - mean], 1).log()

    image = torch.cat([torch.full((3, 16, 24), 0.25), torch.full((3, 16, 24), 0.75)], 2)
    found = predict_tiles(Bright(), image, 16, 8)
    assert found.where(0).shape == (16, 48)
    assert found.where(0)[0, [0, 13, 34, 47]].tolist() == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert found.where(0)[5, 24].item() == pytest.approx(0.5)
    torch.testing.assert_close(found.where(0) + found.where(1), torch.ones(16, 48))


def test_bytes_and_floats_are_the_same_photograph_and_scores_can_be_functions(image) -> None:
    model, _ = trained_defect_net("plain")
    some = image[:, :128, :128]
    options = {"explain": contrast(3, 0), "method": "HiResCAM", "width": 3}
    found = predict_tiles(model, some, 64, 32, **options)
    torch.testing.assert_close(predict_tiles(model, some / 255, 64, 32, **options).map, found.map)
    parts = [predict_tiles(model, some, 64, 32, **(options | {"explain": k})).map for k in (3, 0)]
    torch.testing.assert_close(found.map, parts[0] - parts[1], rtol=1e-3, atol=1e-5)


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


def test_a_photograph_as_large_as_a_tile_is_one_tile() -> None:
    model, image = trained_defect_net("plain")[0], make_defects(1).images[0]
    found = predict_tiles(model, image, 64, 16, explain=2)
    assert (found.corners.tolist(), found.tile, found.overlap, found.size) == ([[0, 0]], 64, 16, (64, 64))
    layer4 = cam(model, image[None] / 255, "layer4", logit(2), "LayerCAM")["layer4"]
    torch.testing.assert_close(found.map, resize(layer4, (64, 64))[0])
    torch.testing.assert_close(found.where(1), found.probabilities[0, 1].float().expand(64, 64))


def test_tiles_in_batches_are_those_at_once(image) -> None:
    model = trained_defect_net("plain")[0]
    some = image[:, :96, :160]
    ones = predict_tiles(model, some, 64, 32, explain=3, layer="layer2", batch_size=1)
    seen: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    found = predict_tiles(model, image, 64, 0)
    handle.remove()
    assert seen == [16, 16, 3]
    assert len(found.corners) == len(found.probabilities) == 35
    torch.testing.assert_close(predict_tiles(model, some, 64, 32, explain=3, layer="layer2").map, ones.map)
    assert ones.probabilities.sum(1).tolist() == pytest.approx([1] * 8)


def test_a_named_layer_without_an_explanation_makes_no_map(image) -> None:
    model = trained_defect_net("plain")[0]
    assert predict_tiles(model, image[:, :64, :64], 64, 0, layer="layer2").map is None


def test_ramps_by_hand() -> None:
    one = [1.0] * 8
    assert ramp(0, 8, 8, 4).tolist() == one
    assert ramp(0, 20, 8, 0).tolist() == ramp(5, 20, 8, 0).tolist() == one
    rising = [0, 0.25, 0.75, 1]
    assert ramp(12, 20, 8, 4).tolist() == [*rising, 1, 1, 1, 1]
    assert ramp(0, 20, 8, 4).tolist() == [1, 1, 1, 1, *rising[::-1]]
    assert ramp(6, 20, 8, 4).tolist() == [*rising, *rising[::-1]]
    assert ramp(12, 20, 8, 1).tolist() == [0.25, *one[1:]]


def test_neighbours_are_blended_where_they_overlap() -> None:
    tiles = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    found = stitch(tiles, torch.tensor([[0, 0], [0, 4]]), (8, 12), 4)
    assert found[3].tolist() == pytest.approx([0] * 5 + [0.25, 0.75] + [1] * 5)
    assert found.dtype == torch.float32


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "overlap", "says"),
    [(64, 64, "overlap=64 must be smaller than tile=64"), (500, 0, "448x320, smaller than tile=500: use .* most 320")],
)
def test_tiles_that_do_not_fit_are_refused(image, tile: int, overlap: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        predict_tiles(trained_defect_net("plain")[0], image, tile, overlap)


def test_a_network_without_maps_cannot_be_explained() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    assert predict_tiles(flat, torch.rand(3, 16, 16), 8, 0).probabilities.shape == (4, 2)
    with pytest.raises(ValueError, match="no layer of the model gives a map"):
        predict_tiles(flat, torch.rand(3, 16, 16), 8, 0, explain=0)
