"""Time Grad-CAM of this package against grad-cam, torch-cam and captum, and against a bare forward pass.

    python benchmarks/gradcam.py            about two minutes
    python benchmarks/gradcam.py --threads 1

ResNet-18 with random weights, images of 224 x 224, one class for each image. All take turns in the same rounds. What is
timed is what a user calls: from a batch of images to maps; ours and grad-cam's include resizing to 224 and normalising.
Before anything is timed, the maps are compared.
"""

import argparse
import json
import platform
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from attention import medians
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam

from cbam_lite.explaining.gradcam import cam, logit, normalise, positive, resize


def explainers(model: nn.Module, images: Tensor, layer: str) -> dict[str, Callable[[], Tensor]]:
    """Each gives the normalised maps of class 3; theirs are set up once, as their users do."""
    module, classes = model.get_submodule(layer), [3] * len(images)
    library = GradCAM(model, [module])
    targets = [ClassifierOutputTarget(3)] * len(images)
    torch_cam, captum = TorchCam(model, module), LayerGradCam(model, module)
    torch_cam.disable_hooks()

    def ours() -> Tensor:
        return normalise(resize(positive(cam(model, images, layer, logit(classes))[layer]), images.shape[2:]))

    def grad_cam() -> Tensor:
        return torch.from_numpy(library(images, targets))

    def torchcam() -> Tensor:
        torch_cam.enable_hooks()
        scores = model(images)
        maps = torch_cam(classes, scores)[0]
        torch_cam.disable_hooks()
        return maps

    def captums() -> Tensor:
        return captum.attribute(images, target=3, relu_attributions=True)[:, 0]

    return {"ours": ours, "grad-cam": grad_cam, "torch-cam": torchcam, "captum": captums}


def check_that_all_agree(explain: dict[str, Callable[[], Tensor]]) -> None:
    """The same map, up to float32: at the resolution of the layer for those that do not resize."""
    maps = {name: function().detach() for name, function in explain.items()}
    size = maps["ours"].shape[1:]
    for name, values in maps.items():
        full = normalise(resize(values, size)) if values.shape[1:] != size else values
        difference = (full - maps["ours"]).abs().max().item()
        if difference > 1e-4:
            raise AssertionError(f"{name} gives another map: the largest difference is {difference:.2g}")


def measure(model: nn.Module, layer: str, batch: int, device: str, seconds: float) -> dict[str, float]:
    """Milliseconds by name."""
    images = torch.rand(batch, 3, 224, 224, device=device)
    explain = explainers(model, images, layer)
    check_that_all_agree(explain)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    times = medians({"forward": forward, **explain}, device, seconds)
    return {name: 1e3 * value for name, value in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=30, help="about how long each table row may take")
    parser.add_argument("--json", type=Path, help="keep every number in this file, with versions")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    warnings.filterwarnings("ignore", message=".*hook.*")
    model = torchvision.models.resnet18(weights=None).eval().to(a.device)
    rows = []
    print(f"milliseconds on {a.device}, {a.threads} threads, torch {torch.__version__}, ResNet-18 at 224")
    for layer in ("layer4", "layer2"):
        for batch in (1, 16):
            times = measure(model, layer, batch, a.device, a.seconds)
            rows.append({"layer": layer, "batch": batch, **times})
            shown = "  ".join(f"{name} {value:.1f}" for name, value in times.items())
            over, gain = times["ours"] / times["forward"], times["grad-cam"] / times["ours"]
            print(f"{layer} batch {batch:2}: {shown}   ours/forward {over:.2f}, grad-cam/ours {gain:.1f}", flush=True)
    if a.json:
        about = {"torch": torch.__version__, "python": platform.python_version(), "threads": a.threads}
        a.json.write_text(json.dumps({**about, "device": a.device, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
