"""Insertion into networks that were really trained, and photographs of real defects, where these are at hand.

The data are not part of the project. Name their folder with CBAM_LITE_DATA, else ../shared/data beside it is looked at;
without them these tests are skipped.
"""

import functools
import os
from pathlib import Path

import cifar
import pytest
import torch
import torchvision
from torch import nn

from cbam_lite import (
    CBAM,
    EfficientChannelAttention,
    LabelledImages,
    SqueezeExcitation,
    cam,
    cat_photo,
    evaluate,
    insert_attention,
    load_weights,
    masked_folder,
    split,
)
from cbam_lite.explaining import localize
from cbam_lite.explaining.gradcam import logit, positive, resize
from cbam_lite.photographs.reading import read_image, resized

DATA = Path(os.environ.get("CBAM_LITE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
NORMALISE = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def needs(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there: name the folder of the real data with CBAM_LITE_DATA")
    return DATA / name


@functools.cache
def cifar_test_images(n: int) -> LabelledImages:
    """The first n / 10 test pictures of each class."""
    needs(cifar.ARCHIVE)
    data = cifar.read_archive(DATA, "test")
    first = torch.cat([(data.labels == label).nonzero()[: n // 10, 0] for label in range(10)])
    return data.take(first)


def trained() -> cifar.CifarResNet:
    needs("cifar-resnets")
    return cifar.trained_resnet20(DATA)


def test_trained_files_load_with_their_prefix_and_beside_an_accuracy() -> None:
    """The files keep ``module.`` before each name, under "state_dict", with a "best_prec1" beside it."""
    model = trained()
    other = cifar.CifarResNet(20)
    assert load_weights(other, DATA / "cifar-resnets" / "resnet20-12fca82f.th", layout="ours") == "ours"
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in other.state_dict().items())


def test_damaged_trained_files_are_refused_or_leave_finite_numbers(tmp_path: Path) -> None:
    whole = (needs("cifar-resnets") / "resnet20-12fca82f.th").read_bytes()
    model, refusals = cifar.CifarResNet(20), []
    for place in range(1000, len(whole) - 8, len(whole) // 40):
        (tmp_path / "a.th").write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
        try:
            load_weights(model, tmp_path / "a.th", layout="ours")
        except ValueError as error:
            refusals.append(str(error))
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert all("a.th" in refusal or "NaN or infinite" in refusal for refusal in refusals)
    assert len(refusals) > 20  # eight such bytes hold a float that is NaN, unless they lie in the padding


def accuracy(model: nn.Module) -> float:
    return evaluate(model, cifar_test_images(1000))[1]


def places(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name.endswith(".bn2")]


@pytest.mark.parametrize("attention", [CBAM, SqueezeExcitation, EfficientChannelAttention])
@torch.no_grad()
def test_trained_cifar_network_keeps_every_output_with_the_identity(attention: type[nn.Module]) -> None:
    model = trained()
    images = cifar_test_images(1000).images / 255
    before = model(images)
    options = {} if attention is EfficientChannelAttention else {"reduction": 4}
    insert_attention(model, attention, places(model), report=None, **options)
    assert torch.equal(model(images), before)


def test_trained_cifar_network_loses_its_accuracy_to_fresh_cbam() -> None:
    model = trained()
    before = accuracy(model)
    fresh = insert_attention(model, CBAM, places(model), init="default", report=None, reduction=4)
    after = accuracy(fresh.eval())
    assert before == pytest.approx(0.804, abs=0.01)  # of 1,000 test images; chapter 4 tells of 2,000
    assert after == pytest.approx(0.154, abs=0.02)


def test_imagenet_squeezenet_sees_the_cat_with_and_without_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(needs("torch_home")))
    model = torchvision.models.squeezenet1_0(weights="IMAGENET1K_V1").eval()
    image = torch.nn.functional.interpolate(NORMALISE(cat_photo())[None], (224, 224), mode="bilinear")
    with torch.no_grad():
        before = model(image)
        insert_attention(model, CBAM, ["features.5.expand3x3", "features.12.expand3x3"], report=None)
        assert torch.equal(model(image), before)
    assert before.argmax().item() in range(281, 286)  # the cats of ImageNet


@functools.cache
def outlined_photos() -> tuple[torch.Tensor, torch.Tensor]:
    """A bird and a dog, (2, 3, 224, 224) from 0 to 1, and the masks of both, (2, 224, 224)."""
    folder = needs("photos")
    names = ("bird_segmentation", "dog_segmentation")
    images = [resized(read_image(folder / f"{name}.png", "RGB"), 224).float() / 255 for name in names]
    masks = [resized(read_image(folder / f"{name}_mask.png", "L"), 224) > 127 for name in names]
    return torch.stack(images), torch.stack(masks)


@pytest.mark.parametrize("method", ["Grad-CAM", "Grad-CAM++", "XGrad-CAM", "HiResCAM", "LayerCAM"])
def test_maps_of_squeezenet_lie_on_the_animal(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(needs("torch_home")))
    model = torchvision.models.squeezenet1_0(weights="IMAGENET1K_V1").eval()
    images, masks = outlined_photos()
    inputs = NORMALISE(images)
    with torch.no_grad():
        classes = model(inputs).argmax(1)
    maps = resize(positive(cam(model, inputs, "features.12", logit(classes), method)["features.12"]), (224, 224))
    assert (localize.pointing(maps, masks) == 1).all()
    assert (localize.lift(maps, masks) > 1.2).all()
    ceiling = localize.energy(localize.perfect_maps(masks, (13, 13)), masks)
    assert (localize.energy(maps, masks) < ceiling + 0.01).all()


# ---- magnetic tiles -------------------------------------------------------------------------------------------------


@functools.cache
def tiles() -> LabelledImages:
    return masked_folder(needs("magnetic-tile"), size=64)


def test_magnetic_tiles_are_read_with_their_masks() -> None:
    data = tiles()
    counts = dict(zip(data.classes, data.labels.bincount().tolist(), strict=True))
    assert counts == {"Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Free": 952, "Uneven": 103}
    assert data.masks is not None
    empty = data.masks.sum((1, 2)) == 0
    by_class = {name: int((empty & (data.labels == number)).sum()) for number, name in enumerate(data.classes)}
    assert by_class == {"Blowhole": 0, "Break": 0, "Crack": 0, "Fray": 0, "Free": 952, "Uneven": 4}


def test_exposures_of_one_tile_stay_on_one_side() -> None:
    data = tiles()
    assert data.groups is not None
    sizes = torch.unique(data.groups, return_counts=True)[1]
    assert (sizes > 1).sum() > 100  # most tiles were photographed more than once
    train, test = split(data, 0.3)
    assert train.groups is not None
    assert test.groups is not None
    assert not torch.isin(test.groups, train.groups).any()
