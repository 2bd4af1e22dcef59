"""Do the maps lie on the defects? Score networks x methods x layers against the true masks, and write a CSV.

    python experiments/localisation.py              the networks that come with the package: about five minutes
    python experiments/localisation.py --seeds 5    and with four more seeds each, ECA without, trained first: an hour

CBAM stands there twice: as the papers start it, which is the shipped one, and started as the identity.

Images that plain, SE, ECA or CBAM of a seed classify wrongly are left out, for all networks, so that scores are paired.
The identity start is scored on these same images, a few of which it classifies wrongly. Each score stands with its 95 %
interval over images, beside blind maps (chance) and the perfect map of each grid (ceiling). Each network's accuracy
on all test images, clean ones included, is there, too.
"""

import argparse
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from runs import header, write_rows
from ship import train
from torch import Tensor, nn

import cbam_lite
from cbam_lite import cam, defect_net, record_attention, trained_defect_net
from cbam_lite.explaining import localize
from cbam_lite.explaining.gradcam import logit, positive, resize
from cbam_lite.explaining.methods import METHODS
from cbam_lite.networks.resnet import AttentionMaker
from cbam_lite.training.batches import predict
from cbam_lite.training.checkpoints import load_checkpoint, save_checkpoint
from cbam_lite.training.defect_nets import ATTENTION, small_cbam
from cbam_lite.training.defects import make_defects
from cbam_lite.training.images import LabelledImages

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("network", "seed", "defect", "layer", "method", "metric", "score", "low", "high", "images", "undefined")
LAYERS = ("layer1", "layer2", "layer3", "layer4")
METRICS = ("pointing", "energy", "mask IoU", "PxAP", "MaxBoxAccV2")
NETWORKS: dict[str, AttentionMaker | None] = {
    **ATTENTION,
    "CBAM, identity start": functools.partial(small_cbam, init="identity"),
}
DELTAS = torch.tensor([0.3, 0.5, 0.7])
TEST = {"n": 1024, "seed": 200}


def score(key: tuple[str, int, str, str, str], maps: Tensor, masks: Tensor) -> Iterator[dict[str, Any]]:
    """Every metric of maps (N, h, w) against masks (N, H, W), with its interval over images, as rows of the table.

    `key` is network, seed, defect, layer and method.
    """
    S, N = resize(positive(maps), masks.shape[1:]), len(masks)
    counts = localize.draws(N)
    numbers: dict[str, tuple[float, float, float]] = {}
    undefined = dict.fromkeys(METRICS, 0)
    single = {"pointing": localize.pointing, "energy": localize.energy, "mask IoU": localize.mask_iou}
    for metric, function in single.items():
        values = function(S, masks)
        undefined[metric] = int(values.isnan().sum())
        numbers[metric] = localize.paired_bootstrap(values) if undefined[metric] < N - 1 else (math.nan,) * 3
    inside, total = localize.pixel_counts(S, masks)
    ap = float(localize.px_ap(inside.sum(0), total.sum(0)))
    numbers["PxAP"] = (ap, *localize.percentiles(localize.px_ap(counts @ inside, counts @ total)))
    ious = localize.box_ious(S, masks)
    fits = (ious[:, :, None] >= DELTAS).double()  # (N, taus, deltas)
    resampled = (torch.einsum("rn,ntd->rtd", counts, fits) / N).amax(1).mean(1)
    numbers["MaxBoxAccV2"] = (localize.max_box_acc_v2(ious), *localize.percentiles(resampled))
    for metric in METRICS:
        rounded = (f"{value:.4f}" for value in numbers[metric])
        yield dict(zip(COLUMNS, (*key, metric, *rounded, N, undefined[metric]), strict=True))


def chance_and_ceiling(data: LabelledImages, grids: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str, Tensor]]:
    """Layer, name and maps of what every score has to be compared with."""
    masks = data.masks
    assert masks is not None
    yield "-", "uniform", localize.uniform_maps(masks)
    yield "-", "centre", localize.centre_maps(masks)
    yield "-", "edges", localize.edge_maps(data.images.float() / 255)
    for layer, grid in grids.items():
        yield layer, "ceiling", localize.perfect_maps(masks, grid)


def maps_of(net: nn.Module, data: LabelledImages) -> Iterator[tuple[str, str, Tensor]]:
    """Layer, method and raw maps of one network: each CAM method, the mean activation, and CBAM's spatial gate."""
    images, target = data.images.float() / 255, logit(data.labels)
    for name, method in {**METHODS, "mean activation": localize.mean_activation}.items():
        for layer, maps in cam(net, images, LAYERS, target, method).items():
            yield layer, name, maps
    if any(isinstance(module, cbam_lite.SpatialAttention) for module in net.modules()):
        with record_attention(net) as gates, torch.no_grad():
            net(images)
        for name, gate in gates.spatial.items():
            yield name.split(".")[0], "spatial gate", gate


def network(name: str, seed: int, work: Path) -> nn.Module:
    """The shipped network for seed 0, else one that is trained in the same way, once, and kept in `work`.

    None with an identity start is shipped.
    """
    if seed == 0 and name in ATTENTION:
        return trained_defect_net(name)[0]
    file = f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    if not (work / f"{file}.json").is_file():
        save_checkpoint(work, file, train(NETWORKS[name], seed).state_dict(), {"network": name, "seed": seed})
    net = defect_net(NETWORKS[name])
    net.load_state_dict(load_checkpoint(work, file)[0])
    return net.eval()


def rows_of(seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """All rows of one seed. The images are those that its networks of the papers' modules classify correctly."""
    nets = {name: network(name, seed, work) for name in NETWORKS if seed == 0 or name != "ECA"}
    data = make_defects(**TEST)
    right = {name: predict(net, data)[0].argmax(1) == data.labels for name, net in nets.items()}
    for name, of_net in right.items():
        mean, low, high = (f"{value:.4f}" for value in localize.paired_bootstrap(of_net.double()))
        accuracy = (name, seed, "all", "-", "-", "accuracy", mean, low, high, len(data), 0)
        yield dict(zip(COLUMNS, accuracy, strict=True))
    kept = torch.stack([of_net for name, of_net in right.items() if name in ATTENTION]).all(0) & (data.labels > 0)
    data = data.take(kept)
    for name, net in nets.items():
        for layer, method, maps in maps_of(net, data):
            yield from score((name, seed, "all", layer, method), maps, data.masks)
        print(f"seed {seed}: {name} on {len(data)} images, {right[name][kept].double().mean():.1%} right", flush=True)
    if seed == 0:
        shapes = cam(net, data.images[:1].float() / 255, LAYERS, logit(data.labels[:1]))
        for layer, method, maps in chance_and_ceiling(data, {k: tuple(v.shape[1:]) for k, v in shapes.items()}):
            yield from score(("-", seed, "all", layer, method), maps, data.masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="1: the shipped networks alone")
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "localisation", help="where networks are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results" / "localisation.csv")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    rows = [each for seed in range(a.seeds) for each in rows_of(seed, a.work)]
    command = f"python experiments/localisation.py --seeds {a.seeds}"
    head = header(command, "cpu", test=f"make_defects(n={TEST['n']}, seed={TEST['seed']})")
    write_rows(a.out, head, COLUMNS, rows)
    print(f"{len(rows)} rows in {a.out}")


if __name__ == "__main__":
    main()
