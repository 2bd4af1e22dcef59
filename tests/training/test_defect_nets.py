"""The small networks: as they are built, and as they come trained."""

import json

import pytest
import torch

from cbam_lite import defect_net, evaluate, make_defects, trained_defect_net
from cbam_lite.training.defect_nets import ATTENTION, SHIPPED


@pytest.mark.parametrize("name", ATTENTION)
def test_shipped_network_has_the_score_on_its_card(name: str) -> None:
    net, card = trained_defect_net(name)  # loading compares the hash
    assert not net.training
    accuracies = card["test_accuracy_by_contrast"]
    recomputed = {c: evaluate(net, make_defects(**card["test"], contrast=float(c)))[1] for c in accuracies}
    assert recomputed == pytest.approx(accuracies, abs=0.003)  # another processor rounds otherwise
    assert list(accuracies.values()) == sorted(accuracies.values(), reverse=True)  # fainter is harder
    assert accuracies["1.0"] > 0.85
    assert card["parameters"] == sum(p.numel() for p in defect_net(name).parameters())
    assert card["train"]["seed"] != card["test"]["seed"]


def test_shipped_files_are_small_and_all_are_named() -> None:
    named = set()
    for name in ATTENTION:
        card = json.loads((SHIPPED / f"{name}.json").read_text())
        assert {"command", "date", "sha256", "licence", "versions", "settings"} <= card.keys()
        file = SHIPPED / card["tensors"]
        assert file.stat().st_size < 500_000
        named |= {file.name, f"{name}.json"}
    assert {path.name for path in SHIPPED.iterdir()} == named


def test_shipped_networks_by_wrong_names() -> None:
    with pytest.raises(ValueError, match="did you mean 'CBAM'"):
        trained_defect_net("CBAN")
    with pytest.raises(ValueError, match="attention='se'"):
        defect_net("se")


def test_what_is_no_attention_is_told_what_there_is() -> None:
    with pytest.raises(TypeError, match=r"attention must be a function.*a name, plain, SE, ECA, CBAM"):
        defect_net(3)  # type: ignore[arg-type]


def test_hidden_layers_have_an_eighth_of_the_channels_and_at_least_4() -> None:
    for channels, hidden in ((8, 4), (32, 4), (40, 5), (64, 8)):
        assert ATTENTION["SE"](channels).W_1.out_features == hidden  # type: ignore[misc]
        assert ATTENTION["CBAM"](channels).channel_attention.W_0.out_features == hidden  # type: ignore[misc]


def test_defect_net_takes_any_attention_and_size() -> None:
    net = defect_net(ATTENTION["CBAM"], num_classes=3, planes=4)
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    assert net.features(torch.rand(2, 3, 128, 128)).shape == (2, 32, 8, 8)


def test_a_new_head_for_other_classes() -> None:
    plain, _ = trained_defect_net("plain")
    assert plain.classes == ["clean", "scratch", "pit", "crack", "stain", "dent", "inclusion", "missing thread"]
    other, _ = trained_defect_net("plain", num_classes=3)
    assert not hasattr(other, "classes")  # nobody has told yet
    images = torch.rand(2, 3, 64, 64)
    assert other(images).shape == (2, 3)
    assert torch.equal(other.features(images), plain.features(images))
    with pytest.raises(ValueError, match="num_classes=0 must be at least 1"):
        trained_defect_net("plain", num_classes=0)
