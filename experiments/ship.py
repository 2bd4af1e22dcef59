"""Train the four small networks that come with the package, and write their model cards.

    python experiments/ship.py      about twelve minutes on one core; each network is written as soon as it is trained

Equal torch and processor give equal bytes; elsewhere the last digits of the weights differ, and the scores by a few
tenths of a percent.
"""

import argparse
import platform
from datetime import date
from pathlib import Path

import torch

import cbam_lite
from cbam_lite.networks.resnet import AttentionMaker, ResNet
from cbam_lite.training.batches import evaluate, flips
from cbam_lite.training.checkpoints import save_checkpoint
from cbam_lite.training.defect_nets import ATTENTION, SHIPPED, defect_net
from cbam_lite.training.defects import make_defects
from cbam_lite.training.train import fit

TRAIN = {"n": 12288, "seed": 100}
TEST = {"n": 2048, "seed": 101}
SETTINGS = {"epochs": 10, "batch_size": 64, "lr": 3e-3, "weight_decay": 1e-2}
CONTRASTS = (1.0, 0.7, 0.4)


def train(attention: AttentionMaker | str | None, seed: int) -> ResNet:
    """Train `defect_net` of this attention on the default defects; the seed is of first weights and order."""
    torch.manual_seed(seed)
    net = defect_net(attention)
    fit(net, make_defects(**TRAIN), augment=flips, device="cpu", progress=False, seed=seed, **SETTINGS)
    return net


def ship(name: str, folder: Path) -> None:
    """Train one network, test it on other defects, and write both files."""
    net = train(name, seed=0)
    accuracy = {str(c): round(evaluate(net, make_defects(**TEST, contrast=c))[1], 4) for c in CONTRASTS}
    card = {
        "network": f"defect_net({name!r})",
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "train": TRAIN,
        "test": TEST,
        "settings": {**SETTINGS, "seed": 0},
        "test_accuracy_by_contrast": accuracy,
        "command": "python experiments/ship.py",
        "date": str(date.today()),
        "versions": f"cbam_lite {cbam_lite.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "licence": "MIT",
        "use": "teaching; it has seen no photograph, and says nothing about real surfaces",
    }
    save_checkpoint(folder, name, net.state_dict(), card)
    print(f"{name}: {accuracy}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the folder for the files")
    parser.add_argument("--only", choices=ATTENTION, action="append", help="one network, may be repeated")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    for name in a.only or ATTENTION:
        ship(name, a.out)


if __name__ == "__main__":
    main()
