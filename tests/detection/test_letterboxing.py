"""Letterbox: what is put in comes out at the same place, to the pixel, for any size and shape."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given
from PIL import Image

from cbam_lite.detection.letterboxing import Letterbox, letterbox
from cbam_lite.photographs.reading import resized

sides = st.integers(1, 3000)
squares = st.one_of(st.integers(1, 640).map(lambda s: (s, s)), st.tuples(st.integers(1, 640), st.integers(1, 640)))


def random_boxes(H: int, W: int, n: int = 20) -> torch.Tensor:
    """Boxes (n, 4), float32, inside an image; the last is the whole of it."""
    ends = torch.rand(n, 2, 2).sort(1).values * torch.tensor([W, H])  # (n, low and high, x and y)
    return torch.cat([ends.flatten(1), torch.tensor([[0.0, 0, W, H]])])


# ---- where the image stands -----------------------------------------------------------------------------------------


@given(sides, sides, squares)
@example(1000, 3, (416, 416))
@example(3, 1000, (416, 416))
@example(333, 500, (416, 416))
@example(500, 333, (416, 416))
def test_an_image_fits_and_is_not_distorted(H: int, W: int, size: tuple[int, int]) -> None:
    where = Letterbox((H, W), size)
    (h, w), (high, wide) = where.inner, size
    fit = min(high / H, wide / W)
    assert h == high or w == wide, "it touches two borders"
    assert abs(h - H * fit) <= 0.5 or h == 1
    assert abs(w - W * fit) <= 0.5 or w == 1
    assert 1 <= h <= high
    assert 1 <= w <= wide
    assert where.scale == (h / H, w / W)
    above, before = where.top, where.left
    assert 0 <= (high - h - above) - above <= 1, "even, or one more below"
    assert 0 <= (wide - w - before) - before <= 1, "even, or one more on the right"


@given(sides, sides, squares)
@example(1000, 3, (416, 416))
def test_boxes_come_back_where_they_were(H: int, W: int, size: tuple[int, int]) -> None:
    where, boxes = Letterbox((H, W), size), random_boxes(H, W)
    inside = where.boxes_in(boxes)
    (h, w) = where.inner
    assert inside[-1].tolist() == [where.left, where.top, where.left + w, where.top + h], "exactly: W is no W + 1e-5"
    assert inside[:, :2].min() >= 0
    assert (inside[:, 2:] <= torch.tensor([size[1], size[0]])).all()
    back = where.boxes_out(inside)
    tolerance = 1e-3 + 6e-8 * 2 * max(size) / min(where.scale)  # float32 at 640 pixels, seen through the scale
    assert (back - boxes).abs().max() < tolerance
    assert where.boxes_out(where.boxes_in(boxes.double())).sub(boxes).abs().max() < 1e-9


def test_the_round_trip_of_photographs_is_below_a_thousandth_of_a_pixel() -> None:
    for H, W in ((480, 640), (641, 479), (1333, 2000), (3000, 2001), (640, 640), (37, 91)):
        where, boxes = Letterbox((H, W), (416, 416)), random_boxes(H, W, 500)
        assert (where.boxes_out(where.boxes_in(boxes)) - boxes).abs().max() < 1e-3, (H, W)


def test_boxes_by_hand() -> None:
    where = Letterbox((300, 400), (416, 416))  # scale 1.04, 52 rows above and below
    assert where.boxes_in(torch.tensor([[100, 50, 200, 150]])).tolist() == [[104, 104, 208, 208]]
    assert where.boxes_out(torch.tensor([[104, 104, 208, 208]])).tolist() == [[100, 50, 200, 150]]


def test_a_box_that_reaches_into_the_padding_is_cut_off() -> None:
    where = Letterbox((30, 40), (40, 40))
    found = where.boxes_out(torch.tensor([[-5.0, 0, 45, 40], [10, 10, 20, 20], [0, 0, 10, 4], [0, 20, torch.inf, 25]]))
    assert found.tolist() == [[0, 0, 40, 30], [10, 5, 20, 15], [0, 0, 10, 0], [0, 15, 40, 20]]


@pytest.mark.parametrize(("given_dtype", "dtype"), [(torch.int64, torch.float32), (torch.float16, torch.float32)])
def test_the_dtype_of_boxes(given_dtype: torch.dtype, dtype: torch.dtype) -> None:
    where = Letterbox((30, 40), (40, 40))
    for way in (where.boxes_in, where.boxes_out):
        assert way(torch.zeros(2, 4, dtype=given_dtype)).dtype == dtype
        assert way(torch.zeros(2, 4, dtype=torch.float64)).dtype == torch.float64
        assert way(torch.zeros(0, 4)).shape == (0, 4)


def test_boxes_that_are_none() -> None:
    where = Letterbox((30, 40), (40, 40))
    for way in (where.boxes_in, where.boxes_out):
        with pytest.raises(ValueError, match=r"boxes\[1\] is .*nan.*NaN is no place"):
            way(torch.tensor([[0.0, 0, 1, 1], [0, torch.nan, 1, 1]]))
        with pytest.raises(ValueError, match=r"shape \(2, 5\), expected \(n, 4\)"):
            way(torch.zeros(2, 5))
        with pytest.raises(ValueError, match=r"use boxes\[None\]"):
            way(torch.zeros(4))
        with pytest.raises(TypeError, match="boxes must be a torch"):
            way([[0, 0, 1, 1]])  # type: ignore[arg-type]


# ---- pixels ---------------------------------------------------------------------------------------------------------


@given(st.integers(24, 90), st.integers(24, 90), st.integers(45, 150), st.data())
@example(61, 90, 45, None)
def test_a_bright_rectangle_is_where_boxes_in_says(H: int, W: int, size: int, data: st.DataObject | None) -> None:
    """Its centre of gravity is the centre of the box to a tenth of a pixel, its sum nearly the area."""
    x0, y0 = (data.draw(st.integers(3, side - 12)) if data else 5 for side in (W, H))
    x1, y1 = (data.draw(st.integers(a + 6, b - 3)) if data else a + 7 for a, b in ((x0, W), (y0, H)))
    image = torch.zeros(3, H, W)
    image[:, y0:y1, x0:x1] = 1
    square, where = letterbox(image, size)
    assert square.shape == (3, size, size)
    box = where.boxes_in(torch.tensor([[x0, y0, x1, y1]]))[0]
    (h, w), (top, left) = where.inner, (where.top, where.left)
    inside = torch.zeros(size, size)
    inside[top : top + h, left : left + w] = square[0, top : top + h, left : left + w]
    centres, total = torch.arange(size) + 0.5, inside.sum()
    x, y = (inside.sum(0) * centres).sum() / total, (inside.sum(1) * centres).sum() / total
    assert abs(x - (box[0] + box[2]) / 2) < 0.1
    assert abs(y - (box[1] + box[3]) / 2) < 0.1
    assert abs(total / (box[2:] - box[:2]).prod() - 1) < 0.06


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (61, 90), (91, 61)])
def test_the_rectangle_is_exact_at_a_whole_scale(shape: tuple[int, int]) -> None:
    H, W = shape
    image = torch.zeros(3, 2 * H, 2 * W, dtype=torch.uint8)
    image[:, 20:40, 30:50] = 255
    square, where = letterbox(image, max(H, W))
    x0, y0, x1, y1 = where.boxes_in(torch.tensor([[30, 20, 50, 40]]))[0].long().tolist()
    assert (x1 - x0, y1 - y0) == (10, 10)
    assert (square[:, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1] == 255).all()
    outside = square[:, where.top : where.top + H, where.left : where.left + W].clone()
    outside[:, y0 - 1 - where.top : y1 + 1 - where.top, x0 - 1 - where.left : x1 + 1 - where.left] = 0
    assert not outside.any()


def test_grey_all_around_and_nowhere_else() -> None:
    square, where = letterbox(torch.full((3, 30, 41), 7, dtype=torch.uint8), 50)
    h, w = where.inner
    assert (h, w, where.top, where.left) == (37, 50, 6, 0)
    assert (square[:, :6] == 128).all()
    assert (square[:, 43:] == 128).all()
    assert (square[:, 6:43] == 7).all()
    square, _ = letterbox(torch.full((3, 41, 30), 0.25), 50)
    assert (square[:, :, :6] == 0.5).all()
    assert (square[:, :, 43:] == 0.5).all()
    assert torch.allclose(square[:, :, 6:43], torch.tensor(0.25))


def test_a_square_is_resized_as_the_other_loaders_do_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (71, 71, 3), dtype=np.uint8)
    for size in (32, 71, 100):
        square, where = letterbox(torch.from_numpy(pixels).permute(2, 0, 1), size)
        assert torch.equal(square, resized(pixels, size))
        assert (where.top, where.left, where.inner) == (0, 0, (size, size))
        if size == 71:
            assert torch.equal(square, torch.from_numpy(pixels).permute(2, 0, 1)), "nothing changes"


@pytest.mark.parametrize("shape", [(97, 61), (40, 83), (20, 33)])
def test_pixels_are_those_of_pillow(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    square, where = letterbox(torch.from_numpy(pixels).permute(2, 0, 1), 64)
    h, w = where.inner
    reference = Image.new("RGB", (64, 64), (128, 128, 128))
    small = Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR)
    reference.paste(small, ((64 - w) // 2, (64 - h) // 2))
    difference = np.asarray(reference).astype(int) - square.permute(1, 2, 0).numpy().astype(int)
    assert np.abs(difference).max() <= 1, "but for rounding"


def test_bytes_and_numbers_give_the_same_picture() -> None:
    image = torch.randint(256, (3, 40, 70), dtype=torch.uint8)
    (a, where), (b, _) = letterbox(image, 50), letterbox(image.float() / 255, 50)
    inner = slice(where.top, where.top + where.inner[0])
    assert (a[:, inner].float() / 255 - b[:, inner]).abs().max() <= 0.5 / 255 + 1e-5
    for dtype in (torch.float16, torch.float64):
        assert letterbox(image.to(dtype) / 255, 50)[0].dtype == dtype


def test_a_rectangle_that_is_no_square() -> None:
    square, where = letterbox(torch.zeros(3, 100, 100, dtype=torch.uint8), (32, 96))
    assert square.shape == (3, 32, 96)
    assert (where.inner, where.top, where.left) == ((32, 32), 0, 32)


@pytest.mark.parametrize("shape", [(1000, 3), (3, 1000), (1, 1), (5000, 1)])
def test_a_thin_image_does_not_vanish(shape: tuple[int, int]) -> None:
    for size in (64, 416):
        square, where = letterbox(torch.full((3, *shape), 255, dtype=torch.uint8), size)
        h, w = where.inner
        assert min(h, w) >= 1
        assert int((square == 255).all(0).sum()) == h * w
        whole = torch.tensor([[0.0, 0, shape[1], shape[0]]])
        assert where.boxes_out(where.boxes_in(whole)).tolist() == whole.tolist()


def test_gradients_go_back_to_the_image() -> None:
    image = torch.rand(3, 20, 30, requires_grad=True)
    letterbox(image, 64)[0].sum().backward()
    assert image.grad is not None
    assert torch.isclose(image.grad.sum(), torch.tensor(3.0 * 64 * 43), rtol=1e-4), "each pixel inside counts once"


# ---- maps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 90), (91, 61), (203, 157), (64, 64), (31, 64)])
def test_maps_come_back_where_they_were(shape: tuple[int, int]) -> None:
    """A smooth spot in the image, through the letterbox and back, stands where it was to a fraction of a pixel."""
    H, W = shape
    rows, columns = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    y, x, spread = 0.3 * H, 0.65 * W, 0.08 * min(H, W)
    spot = torch.exp(-((rows - y).square() + (columns - x).square()) / (2 * spread**2))
    square, where = letterbox(spot.expand(3, -1, -1), 64)
    back = where.maps_out(square[:1])
    assert back.shape == (1, H, W)
    assert (back[0] - spot).abs().max() < 0.1
    total = back.sum()
    assert abs(float((back[0] * rows).sum() / total) - y) < 0.1
    assert abs(float((back[0] * columns).sum() / total) - x) < 0.1


def test_the_padding_is_cut_away() -> None:
    for shape in ((30, 60), (60, 30), (31, 60)):
        where = Letterbox(shape, (64, 64))
        h, w = where.inner
        maps = torch.full((2, 64, 64), 9.0)
        maps[:, where.top : where.top + h, where.left : where.left + w] = torch.tensor([1.0, 2.0])[:, None, None]
        back = where.maps_out(maps)
        assert back.shape == (2, *shape)
        assert (back - torch.tensor([1.0, 2.0])[:, None, None]).abs().max() < 1e-5


def test_maps_that_do_not_fit() -> None:
    where = Letterbox((30, 40), (64, 64))
    with pytest.raises(ValueError, match=r"maps are 13x13, the letterbox 64x64: use resize\(maps, \(64, 64\)\) first"):
        where.maps_out(torch.zeros(1, 13, 13))
    with pytest.raises(ValueError, match=r"use maps\[None\]"):
        where.maps_out(torch.zeros(64, 64))
    with pytest.raises(TypeError, match="floating-point"):
        where.maps_out(torch.zeros(1, 64, 64, dtype=torch.bool))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "kind", "said"),
    [
        (np.zeros((3, 8, 8)), TypeError, "image must be a torch.Tensor"),
        (torch.zeros(8, 8, 3), ValueError, r"use image.permute\(2, 0, 1\)"),
        (torch.zeros(1, 8, 8), ValueError, r"use image.expand\(3, -1, -1\)"),
        (torch.zeros(4, 8, 8), ValueError, "three channels"),
        (torch.zeros(2, 3, 8, 8), ValueError, r"expected \(3, H, W\)"),
        (torch.zeros(3, 0, 8), ValueError, "holds no values"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), TypeError, "image is torch.int64: give uint8"),
        (torch.zeros(3, 8, 8, dtype=torch.bool), TypeError, "image is torch.bool"),
        (torch.full((3, 8, 8), 200.0), ValueError, "runs from 200 to 200, but grey is 0.5 of 0 to 1: divide by 255"),
        (torch.full((3, 8, 8), -2.0), ValueError, "runs from -2 to -2.*before you normalise"),
        (torch.full((3, 8, 8), torch.nan), ValueError, "runs from nan to nan.*look for NaN"),
    ],
)
def test_images_that_are_none(image: torch.Tensor, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        letterbox(image, 32)


@pytest.mark.parametrize(
    ("size", "kind", "said"),
    [
        (0, ValueError, "size=0 must be at least 1"),
        (-3, ValueError, "size=-3"),
        (32.0, TypeError, "size must be a whole number"),
        ("32", TypeError, "size must be a whole number"),
        (True, TypeError, "size must be a whole number"),
        ((32,), TypeError, r"size=\(32,\) must be \(height, width\)"),
        ((32, 0), ValueError, r"size\[1\]=0 must be at least 1"),
        ((32, None), TypeError, r"size\[1\] must be a whole number"),
    ],
)
def test_sizes_that_are_none(size: int, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        letterbox(torch.zeros(3, 8, 8), size)


def test_a_letterbox_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"original\[0\]=0 must be at least 1"):
        Letterbox((0, 5), (32, 32))
    with pytest.raises(TypeError, match="size=32 must be"):
        Letterbox((5, 5), 32)  # type: ignore[arg-type]
