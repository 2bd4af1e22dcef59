"""Do maps say what the network uses? The tests of the chapter on faithfulness, for several trained networks, as a CSV.

    python experiments/faithfulness.py              two networks that come with the package: some minutes
    python experiments/faithfulness.py --seeds 5    and four more of each, trained first as in localisation.py

"forgetting" is the rank correlation of a network's signed map with that of the same network after some of its stages
were made random, the mean over images and three random networks. Its controls:

    other image   the random network is shown another image. What is left has nothing to do with the image.
    trained pair  both maps are the trained network's, of two images. What all maps share, as bright borders.
    interior      without the cells at the border, where the padding shows.
    rescaled      every channel of the activations is divided by its root mean square first: random weights above keep
                  the scales of the channels below, and with them a part of each map (Binder et al., CVPR 2023).
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from localisation import network
from runs import ROOT, header, write_rows
from torch import Tensor, nn

from cbam_lite import SpatialAttention, cam, make_defects, predict, record_attention
from cbam_lite.explaining import localize
from cbam_lite.explaining.faithfulness import (
    auc,
    blurred,
    cascade,
    combined,
    deletion,
    insertion,
    mean_colour,
    probability,
    rank_correlation,
    road,
)
from cbam_lite.explaining.gradcam import logit, positive, resize
from cbam_lite.explaining.methods import METHODS

COLUMNS = ("network", "seed", "test", "map", "stage", "score")
STAGES = ("fc", "layer4", "layer3", "layer2", "layer1", "conv1")
COMPARED = ("fc", "layer3", "conv1")  # after these stages; the chapter itself shows all for one network
LAYERS = ("layer2", "layer3")
SIGNED = ("Grad-CAM", "LayerCAM")
RANDOM_NETWORKS = 3
DATA = {"n": 1024, "seed": 203}
IMAGES = 96
FOR_ROAD = 24  # each image needs six linear systems for each map
FILLS = {"mean colour": mean_colour, "blurred": blurred, "black": torch.zeros_like, "white": torch.ones_like}


class Case(NamedTuple):
    """A network and the images that it names correctly."""

    net: nn.Module
    images: Tensor  # (N, 3, 64, 64)
    labels: Tensor
    masks: Tensor


def case(name: str, seed: int, work: Path) -> Case:
    net = network(name, seed, work)
    data = make_defects(**DATA)
    data = data.take((data.labels > 0) & (predict(net, data)[0].argmax(1) == data.labels)).take(slice(0, IMAGES))
    assert data.masks is not None
    return Case(net, data.images.float() / 255, data.labels, data.masks)


# ---- the network forgets --------------------------------------------------------------------------------------------


def rescaled(method: str) -> Any:
    """The method on activations whose channels have all the same root mean square over images and places."""

    def on_equal_channels(A: Tensor, G: Tensor) -> Tensor:
        return METHODS[method](A / A.square().mean((0, 2, 3), keepdim=True).sqrt().clamp_min(1e-12), G)

    return on_equal_channels


def signed_maps(net: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """{"LayerCAM, layer2": (N, h, w)} of every signed kind, the mean activation, and the gate where there is one."""
    methods = {name: METHODS[name] for name in SIGNED} | {f"{name}, rescaled": rescaled(name) for name in SIGNED}
    methods["activation"] = localize.mean_activation
    found = {}
    for name, method in methods.items():
        for layer, maps in cam(net, images, LAYERS, logit(labels), method).items():
            found[f"{name}, {layer}"] = maps
    return found | {f"gate, {layer}": gate for layer, gate in gates_of(net, images).items() if layer in LAYERS}


def gates_of(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """{layer: spatial gates}; none of a network without them."""
    if not any(isinstance(module, SpatialAttention) for module in net.modules()):
        return {}
    with record_attention(net) as gates, torch.no_grad():
        net(images)
    return {name.split(".")[0]: gate for name, gate in gates.spatial.items()}


def interior(maps: Tensor) -> Tensor:
    """Without an eighth of the cells at each side, at least one."""
    edge = max(1, maps.shape[-1] // 8)
    return maps[:, edge:-edge, edge:-edge]


def forgetting(one: Case) -> Iterator[tuple[str, str, str, float]]:
    """Test, map, stage and score of every map and control."""
    net, images, labels, _ = one
    before = signed_maps(net, images, labels)
    totals: dict[tuple[str, str, str], list[Tensor]] = {}
    for seed in range(RANDOM_NETWORKS):
        for stage, forgetful in cascade(net, STAGES, seed):
            if stage not in COMPARED:
                continue
            for name, after in signed_maps(forgetful, images, labels).items():
                pairs = {
                    "forgetting": (before[name], after),
                    "other image": (before[name], after.roll(1, 0)),
                    "interior": (interior(before[name]), interior(after)),
                }
                for test, (a, b) in pairs.items():
                    totals.setdefault((test, name, stage), []).append(rank_correlation(a, b).mean())
    for name, maps in before.items():
        yield "trained pair", name, "-", float(rank_correlation(maps, maps.roll(1, 0)).mean())
    for (test, name, stage), values in totals.items():
        yield test, name, stage, float(torch.stack(values).mean())


# ---- pixels are taken away ------------------------------------------------------------------------------------------


def competing(one: Case) -> dict[str, Tensor]:
    """The maps (N, 64, 64) that the chapter compares; the random ones from a seed."""
    net, images, labels, masks = one

    def raw(layer: str, method: str) -> Tensor:
        return resize(cam(net, images, layer, logit(labels), method)[layer], images.shape[2:])

    gates = {name: resize(gate, images.shape[2:]) for name, gate in gates_of(net, images).items() if name == "layer2"}
    return {
        "LayerCAM, layer2": raw("layer2", "LayerCAM"),
        "Grad-CAM, layer3": raw("layer3", "Grad-CAM"),
        "Grad-CAM, layer4": raw("layer4", "Grad-CAM"),
        **{f"gate, {layer}": gate for layer, gate in gates.items()},
        "edges": localize.edge_maps(images),
        "random": torch.rand(images[:, 0].shape, generator=torch.Generator().manual_seed(0)),
        "true mask": masks + localize.perfect_maps(masks, (16, 16)),
    }


def tests_of(one: Case, maps: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str, float]]:
    """Test, map, "-" and the mean score of every map."""
    net, images, labels, masks = one
    p = probability(labels)
    for name, S in maps.items():
        yield "energy in mask", name, "-", float(localize.energy(positive(S), masks).nanmean())
        yield "pointing", name, "-", float(localize.pointing(positive(S), masks).mean())
        for fill, function in FILLS.items():
            test = "deletion" if fill == "mean colour" else f"deletion, {fill}"
            yield test, name, "-", float(auc(deletion(net, images, S, p, fill=function)).mean())
        yield "insertion", name, "-", float(auc(insertion(net, images, S, p)).mean())
        few = slice(0, FOR_ROAD)
        both = road(net, images[few], S[few], probability(labels[few]), fractions=(0.1, 0.3, 0.5))
        yield "ROAD", name, "-", float(combined(*both).mean())


def rows_of(name: str, seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """All rows of one network."""
    one = case(name, seed, work)
    for found in (forgetting(one), tests_of(one, competing(one))):
        for test, kind, stage, score in found:
            yield dict(zip(COLUMNS, (name, seed, test, kind, stage, f"{score:.4f}"), strict=True))
    print(f"{name}, seed {seed}: {len(one.images)} images", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="1: the shipped networks alone")
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "localisation", help="where networks are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results" / "faithfulness.csv")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    rows = [row for name in ("CBAM", "plain") for seed in range(a.seeds) for row in rows_of(name, seed, a.work)]
    command = f"python experiments/faithfulness.py --seeds {a.seeds}"
    head = header(command, "cpu", test=f"make_defects(n={DATA['n']}, seed={DATA['seed']})", images=IMAGES)
    write_rows(a.out, head, COLUMNS, rows)


if __name__ == "__main__":
    main()
