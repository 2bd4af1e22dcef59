"""`pretrained`: torchvision's networks with normalisation, attention and a new head; real weights if they are here."""

import os
from pathlib import Path

import pytest
import torch
import torchvision.models as tv
from torch import nn

from cbam_lite import CBAM, SqueezeExcitation, cam, pretrained
from cbam_lite.explaining.gradcam import logit
from cbam_lite.networks.pretrained import Normalise, replace_head

WEIGHTS = Path(os.environ.get("CBAM_LITE_DATA", "nowhere")) / "torch_home"


def test_images_are_normalised_as_torchvision_does() -> None:
    images = torch.rand(2, 3, 8, 8)
    expected = tv.ResNet18_Weights.DEFAULT.transforms()
    by_hand = (images - torch.tensor(expected.mean).view(3, 1, 1)) / torch.tensor(expected.std).view(3, 1, 1)
    model = pretrained("resnet18", 2, weights=None)
    torch.testing.assert_close(model.normalise(images), by_hand)
    assert repr(Normalise([0.5], [0.25])) == "Normalise(mean=[0.5], std=[0.25])"


@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "densenet121", "vgg11", "convnext_tiny", "swin_t"]
)
def test_the_head_alone_is_new(name: str) -> None:
    torch.manual_seed(0)
    network = tv.get_model(name, weights=None)
    before = {key: values.clone() for key, values in network.state_dict().items()}
    replace_head(network, 5)
    changed = {key for key, values in network.state_dict().items() if values.shape != before[key].shape}
    assert len(changed) == 2  # weight and bias
    assert all(values.shape[0] == 5 for key, values in network.state_dict().items() if key in changed)
    assert network.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 5)


def test_attention_starts_as_the_identity_and_can_be_explained() -> None:
    said: list[str] = []
    torch.manual_seed(0)
    plain = pretrained("resnet18", 4, weights=None)
    torch.manual_seed(0)
    model = pretrained("resnet18", 4, SqueezeExcitation, weights=None, reduction=8, report=said.append)
    assert len(said) == 8
    assert said[0] == "SqueezeExcitation for 64 channels after layer1.0.bn2"
    inserted = [part for part in model.modules() if isinstance(part, SqueezeExcitation)]
    assert inserted[0].W_1.out_features == 8
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(model.eval()(images), plain.eval()(images))
    assert cam(model, images, "network.layer4", logit(1))["network.layer4"].shape == (2, 2, 2)


def test_errors_name_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="name='resnet19' is no network of torchvision: use one of alexnet"):
        pretrained("resnet19", 2)
    with pytest.raises(ValueError, match=r"weights='V3' is not one of IMAGENET1K_V1.* for resnet18"):
        pretrained("resnet18", 2, weights="V3")
    with pytest.raises(ValueError, match="num_classes=0 must be at least 1"):
        pretrained("resnet18", 0)
    with pytest.raises(ValueError, match="attention is None: give CBAM"):
        pretrained("resnet18", 2, weights=None, where="layer4")
    with pytest.raises(ValueError, match="no residual blocks"):
        pretrained("vgg11", 2, CBAM, weights=None)
    with pytest.raises(ValueError, match=r"^Sequential ends in Conv2d, and a head is a linear layer"):
        replace_head(nn.Sequential(nn.Conv2d(3, 4, 3)), 2)
    with pytest.raises(ValueError, match="ends in NoneType"):
        replace_head(nn.ReLU(), 2)

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(
        OSError, match=r"could not be fetched from https://.*resnet18.*: load that file on another.*no route"
    ):
        pretrained("resnet18", 2)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="CBAM_LITE_DATA/torch_home with real SqueezeNet weights is not here")
def test_real_weights_keep_their_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(WEIGHTS))
    model = pretrained(
        "squeezenet1_0", 3, CBAM, weights="IMAGENET1K_V1", where="features.12.squeeze", report=None
    ).eval()
    whole = tv.squeezenet1_0(weights="IMAGENET1K_V1").eval()
    images = torch.rand(1, 3, 224, 224)
    normalised = tv.SqueezeNet1_0_Weights.IMAGENET1K_V1.transforms()
    scaled = (images - torch.tensor(normalised.mean).view(3, 1, 1)) / torch.tensor(normalised.std).view(3, 1, 1)
    features = model.network.features(model.normalise(images))
    torch.testing.assert_close(features, whole.features(scaled))
