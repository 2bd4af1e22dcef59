"""Maps of any classifier: where they are taken, how many, and the bytes of a picture."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cbam_lite import defect_net, make_defects
from cbam_lite.photographs.maps import as_pixels, device_of, encoded, heat, last_map, maps_of, outlined


def test_a_model_without_weights_is_on_the_cpu() -> None:
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.BatchNorm2d(3, affine=False).to("meta")) == torch.device("meta")
    assert device_of(nn.Linear(1, 1).to("meta")) == torch.device("meta")


def test_the_last_map_has_two_places_at_least_and_is_no_tuple() -> None:
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.pool = nn.Conv2d(3, 2, (8, 7)), nn.AdaptiveAvgPool2d(1)
            self.flat, self.pair = nn.Flatten(), Pair()

        def forward(self, x):
            return self.pair(self.flat(self.pool(self.narrow(x))))[0]

    model = Net().train()
    assert last_map(model, torch.rand(3, 8, 8)) == "narrow", "1 x 2 places are a map, 1 x 1 are none"
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert last_map(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), torch.rand(3, 8, 8)) is None


def test_maps_by_default_and_of_floats() -> None:
    torch.manual_seed(0)
    model, data = defect_net().eval(), make_defects(3)
    found = maps_of(model, data.images, data.labels, "layer3")
    assert torch.equal(found, maps_of(model, data.images, data.labels, "layer3", "LayerCAM", 1, 32))
    torch.testing.assert_close(maps_of(model, data.images / 255, data.labels, "layer3"), found)


def test_a_class_for_each_image() -> None:
    model, data = defect_net().eval(), make_defects(3)
    for size in (1, 2, 32):
        with pytest.raises(ValueError, match=r"shorter|longer|classes|one for each"):
            maps_of(model, data.images, data.labels[:2], "layer3", batch_size=size)


def test_where_no_class_depends_on_the_layer_all_maps_are_zero() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return 0 * self.layer(x).mean((2, 3))

    images = torch.rand(3, 3, 4, 4)
    assert torch.equal(maps_of(Deaf(), images, torch.tensor([0, 1, 0]), "layer"), torch.zeros(3, 1, 1))


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_values_become_bytes_by_rounding() -> None:
    assert as_pixels(np.array([-0.1, 0, 0.0019, 0.002, 0.5, 1, 1.2])).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert as_pixels(np.zeros(1)).dtype == np.uint8


def test_png_is_exact_and_jpeg_is_small() -> None:
    pixels = make_defects(1, size=128).images[0].permute(1, 2, 0).numpy()
    png, jpeg = encoded(pixels), encoded(pixels, "JPEG")
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"
    assert np.array_equal(np.array(Image.open(io.BytesIO(png))), pixels)
    assert len(jpeg) < len(png) / 4
    assert np.abs(np.array(Image.open(io.BytesIO(jpeg))).astype(int) - pixels).mean() < 10


def test_heat_takes_bytes_as_floats_and_a_weight() -> None:
    image, raw = torch.randint(256, (3, 8, 8), dtype=torch.uint8), torch.rand(2, 2)
    assert np.array_equal(heat(image, raw), heat(image / 255, raw))
    assert np.array_equal(heat(image, raw), heat(image, 7 * raw)), "colours run to the peak of each map"
    grey = heat(image, -raw)
    assert np.array_equal(heat(image, raw, 0), grey)
    assert not np.array_equal(heat(image, raw, 1), heat(image, raw))
    assert np.array_equal(heat(image, raw, 1), heat(255 - image, raw, 1)), "nothing is left of the photograph"


def test_an_outline_may_be_wider() -> None:
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[4, 4] = True
    plain = np.zeros((9, 9, 3), np.uint8)
    drawn = [(outlined(plain, mask, (1, 2, 3), width) == (1, 2, 3)).all(2).sum() for width in (1, 2)]
    assert drawn == [8, 24]
    assert not plain.any(), "the pixels that were given stay as they are"
