"""Photographs of magnetic tiles: train on "good" and "bad", then score the maps against the masks, and write a CSV.

    python experiments/tiles.py --data FOLDER       the folder of the class folders MT_Crack, MT_Free, ...

The data set is that of Huang, Qiu and Yuan, "Surface defect saliency of magnetic tile", 2018; it is not part of this
project. Each seed divides the tiles anew, with all exposures of one tile on one side, and fine-tunes the shipped
networks, which have seen computed defects only. Scored are defective test images that all networks of a seed call
defective, and whose mask is not empty; kinds with fewer than five such images are left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from localisation import COLUMNS, ROOT, chance_and_ceiling, score
from runs import header, write_rows
from torch import Tensor, nn

from cbam_lite import cam, record_attention, trained_defect_net
from cbam_lite.explaining import localize
from cbam_lite.explaining.gradcam import logit
from cbam_lite.explaining.methods import METHODS
from cbam_lite.photographs.folders import masked_folder
from cbam_lite.training.batches import flips, predict
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import split
from cbam_lite.training.train import fit

SIZE = 128
LAYERS = ("layer2", "layer3", "layer4")
SHOWN = {"Grad-CAM": METHODS["Grad-CAM"], "LayerCAM": METHODS["LayerCAM"], "mean activation": localize.mean_activation}
SETTINGS = {"epochs": 60, "batch_size": 32, "lr": 4e-3, "weight_decay": 1e-2}
EACH = 400  # training images of each class and epoch


def good_or_bad(data: LabelledImages) -> LabelledImages:
    """What the networks are told: free of defects, or not. Which defect it is only sorts the results."""
    defective = (data.labels != data.classes.index("Free")).long()
    return LabelledImages(data.images, defective, ("free", "defective"), data.masks, data.groups)


def balanced(data: LabelledImages, seed: int) -> LabelledImages:
    """Equally many images of each class: those of the rarer one are repeated."""
    g = torch.Generator().manual_seed(seed)
    members = [(data.labels == label).nonzero()[:, 0] for label in range(len(data.classes))]
    drawn = [m[torch.randperm(-(-EACH // len(m)) * len(m), generator=g)[:EACH] % len(m)] for m in members]
    return data.take(torch.cat(drawn))


def other_exposures(images: Tensor, g: torch.Generator) -> Tensor:
    """Mirrored, shifted around the border by up to an eighth, brighter or darker."""
    B = len(images)
    gain, offset = (torch.rand(B, 1, 1, 1, generator=g) for _ in range(2))
    dy, dx = torch.randint(-SIZE // 8, SIZE // 8 + 1, (2,), generator=g).tolist()
    return (flips(images, g).roll((dy, dx), (2, 3)) * (0.6 + 0.8 * gain) + 0.3 * offset - 0.15).clamp(0, 1)


def fine_tuned(name: str, data: LabelledImages, seed: int) -> nn.Module:
    """The shipped network with a new last layer, trained on tiles."""
    torch.manual_seed(seed)
    net = trained_defect_net(name)[0]
    net.fc = nn.Linear(net.fc.in_features, len(data.classes))
    train = balanced(data, seed)
    fit(net, train, augment=other_exposures, device="cpu", progress=False, seed=seed, **SETTINGS)
    return net


def maps_of(net: nn.Module, name: str, data: LabelledImages) -> Iterator[tuple[str, str, Tensor]]:
    images, target = data.images.float() / 255, logit(1)
    for method, function in SHOWN.items():
        for layer, maps in cam(net, images, LAYERS, target, function).items():
            yield layer, method, maps
    if name == "CBAM":
        with record_attention(net) as gates, torch.no_grad():
            net(images)
        for gate, maps in gates.spatial.items():
            if (layer := gate.split(".")[0]) in LAYERS:
                yield layer, "spatial gate", maps


def rows_of(data: LabelledImages, seed: int) -> Iterator[dict[str, Any]]:
    """All rows of one seed: how well the networks classify, then the scores of their maps, by kind of defect."""
    train, test = split(data, 0.3, seed)
    judged = good_or_bad(test)
    nets, right = {}, []
    for name in ("plain", "SE", "CBAM"):
        nets[name] = fine_tuned(name, good_or_bad(train), seed)
        correct = predict(nets[name], judged)[0].argmax(1) == judged.labels
        shares = [correct[judged.labels == label].float().mean().item() for label in (0, 1)]
        for what, share in zip(("free", "defective"), shares, strict=True):
            about = (name, seed, what, "-", "classifier", "recall", f"{share:.4f}", "nan", "nan")
            yield dict(zip(COLUMNS, (*about, int((judged.labels == (what == "defective")).sum()), 0), strict=True))
        right.append(correct)
        print(f"seed {seed}: {name} is right about {shares[0]:.0%} of free, {shares[1]:.0%} of defective", flush=True)
    found = test.take(torch.stack(right).all(0) & test.masks.flatten(1).any(1))
    for label, defect in enumerate(found.classes):
        part = found.take(found.labels == label)
        if len(part) < 5:
            continue
        for name, net in nets.items():
            for layer, method, maps in maps_of(net, name, part):
                yield from score((name, seed, defect, layer, method), maps, part.masks)
        shapes = cam(nets["plain"], part.images[:1].float() / 255, LAYERS, logit(1))
        for layer, method, maps in chance_and_ceiling(part, {k: tuple(v.shape[1:]) for k, v in shapes.items()}):
            yield from score(("-", seed, defect, layer, method), maps, part.masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the class folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results" / "magnetic_tile.csv")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    data = masked_folder(a.data, SIZE)
    rows = [each for seed in range(a.seeds) for each in rows_of(data, seed)]
    command = f"python experiments/tiles.py --data FOLDER --seeds {a.seeds}"
    head = header(command, "cpu", data="Huang, Qiu and Yuan, Surface defect saliency of magnetic tile")
    write_rows(a.out, head, COLUMNS, rows)
    print(f"{len(rows)} rows in {a.out}")


if __name__ == "__main__":
    main()
