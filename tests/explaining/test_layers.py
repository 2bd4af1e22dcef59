"""Layers of transformers: the five methods refuse their layouts, a method of one's own takes them."""

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import ConvNeXt, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig

from cbam_lite import cam
from cbam_lite.explaining.gradcam import logit
from cbam_lite.explaining.layers import channels_last, channels_of
from cbam_lite.explaining.methods import METHODS, grad_cam, grad_cam_plus_plus, xgrad_cam

SWIN = SwinTransformer([4, 4], 12, [1, 1], [2, 2], [4, 4], num_classes=5)
TIMM = timm.create_model(
    "swin_tiny_patch4_window7_224", embed_dim=12, depths=(1, 1), num_heads=(2, 2), img_size=56, num_classes=5
)
VIT = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
nn.init.normal_(VIT.heads.head.weight)  # which begins at zero


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("model", "size", "layer"),
    [(SWIN, (32, 32), "features.3"), (SWIN, (32, 48), "norm"), (TIMM, (56, 56), "layers.1")],
    ids=["torchvision", "not square", "timm"],
)
def test_channels_last_is_refused(model: nn.Module, size: tuple[int, int], layer: str, method: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{layer} gives .*, which is channels last.*a method of your own that permutes"
    ):
        cam(model, torch.rand(1, 3, *size), layer, logit(1), method)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_are_refused(method: str) -> None:
    with pytest.raises(
        ValueError, match=r"_1 gives \(2, 17, 16\), but the method wants \(B, C, h, w\): give a method of"
    ):
        cam(VIT, torch.rand(2, 3, 32, 32), "encoder.layers.encoder_layer_1.ln_1", logit(1), method)


def test_a_method_of_ones_own_takes_channels_last() -> None:
    def swin(A: Tensor, G: Tensor) -> Tensor:
        return grad_cam(A.permute(0, 3, 1, 2), G.permute(0, 3, 1, 2))

    images = torch.rand(2, 3, 32, 48)
    ours = cam(SWIN, images, "norm", logit(1), swin)["norm"]
    assert torch.allclose(
        ours, cam(SWIN, images, "permute", logit(1))["permute"], atol=1e-6
    )  # which gives (B, C, h, w)


def test_a_method_of_ones_own_takes_tokens() -> None:
    def vit(A: Tensor, G: Tensor) -> Tensor:
        A, G = (x[:, 1:].mT.unflatten(2, (4, 4)) for x in (A, G))
        return grad_cam(A, G)

    layer = "encoder.layers.encoder_layer_1.ln_1"
    maps = cam(VIT, torch.rand(2, 3, 32, 32), layer, logit(1), vit)[layer]
    assert maps.shape == (2, 4, 4)
    assert maps.abs().max() > 0


@pytest.mark.parametrize("size", [(48, 48), (64, 48), (64, 64)])
def test_channels_last_inside_a_block_does_not_matter(size: tuple[int, int]) -> None:
    model = ConvNeXt([CNBlockConfig(12, 24, 1), CNBlockConfig(24, None, 1)], num_classes=5)
    for layer in ("features.0", "features.1", "features.3"):
        assert cam(model, torch.rand(1, 3, *size), layer, logit(1))[layer].dim() == 3


def test_a_convolution_may_have_any_shape() -> None:
    """7 channels of 7 x 768, from square images: by its shape alone this is Swin's."""
    layer = nn.Conv2d(3, 7, 3, stride=(4, 1), padding=1)
    model = nn.Sequential(nn.Upsample((28, 768)), layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert cam(model, torch.rand(1, 3, 64, 64), "1", logit(1))["1"].shape == (1, 7, 768)


def test_channels_of_each_kind_of_part() -> None:
    assert channels_of(nn.Conv2d(3, 5, 1)) == {3, 5}
    assert channels_of(nn.Linear(4, 6)) == {4, 6}
    assert channels_of(nn.BatchNorm2d(7)) == {7}
    assert channels_of(nn.LayerNorm((2, 9))) == {9}
    assert channels_of(nn.ReLU()) == set()


def test_inputs_that_are_no_images_tell_nothing_of_the_layout() -> None:
    """Tokens (B, T) of text have no aspect ratio to compare with."""
    assert not channels_last(nn.LayerNorm(8), torch.zeros(1, 3, 4, 8), torch.zeros(1, 12))
    assert channels_last(nn.LayerNorm(8), torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 30, 40))


@pytest.mark.parametrize("method", [grad_cam_plus_plus, xgrad_cam])
def test_eps_of_another_kind_is_named(method) -> None:
    A = torch.rand(1, 2, 3, 3)
    with pytest.raises(ValueError, match=r"^eps=-1 is outside its range: use 0 to inf$"):
        method(A, A, eps=-1)
    with pytest.raises(TypeError, match=r"^eps must be a number, got '1' of type str$"):
        method(A, A, eps="1")
    with pytest.raises(TypeError, match=r"^A must be a torch\.Tensor \(B, C, h, w\), got list"):
        method([1.0], A)
    with pytest.raises(ValueError, match=r"^G has the shape \(2, 3, 3\), expected \(B, C, h, w\)"):
        method(A, A[0])
