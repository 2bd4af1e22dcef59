"""The network on which Grad-CAM is judged: on it, each known mistake gives another map than the right one.

At the last block of a usual ResNet four mistakes give the right map and cannot be seen. Here the activations behind
`block2` are signed, two blocks follow, the images differ in strength, and the batch norms come in train mode with
statistics of their own. `block2` has the size of the images, so that it does not matter how a map is resized.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from cbam_lite.practice import wrong_maps

IMAGES, CLASSES, H, W = 3, 5, 8, 11
WEIGHTS = 442  # a seed with which the maps of the images below have both signs, and two classes are predicted


class Probe(nn.Module):
    """Images (B, 3, 8, 11) -> logits (B, 5). `block2` gives (B, 5, 8, 11), `block3` (B, 6, 4, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.block2 = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Tanh())
        self.block3 = nn.Sequential(nn.Conv2d(5, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.Tanh())
        self.block4 = nn.Sequential(nn.Conv2d(6, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(7, CLASSES)

    def until(self, x: Tensor, last: int) -> Tensor:
        """The activation behind block 1, 2, 3 or 4."""
        for block in (self.block1, self.block2, self.block3, self.block4)[:last]:
            x = block(x)
        return x

    def behind(self, A: Tensor, last: int) -> Tensor:
        """The logits, from the activation behind a block."""
        for block in (self.block1, self.block2, self.block3, self.block4)[last:]:
            A = block(A)
        return self.fc(self.pool(A).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(x, 0)


def probe() -> Probe:
    """The same weights each time, in train mode."""
    network, g = Probe(), torch.Generator().manual_seed(WEIGHTS)
    with torch.no_grad():
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 1
            parameter.copy_(2 * torch.randn(parameter.shape, generator=g) / fan**0.5)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(0.6 + torch.rand(module.weight.shape, generator=g))
                module.running_mean.copy_(0.3 * torch.randn(module.weight.shape, generator=g))  # type: ignore[union-attr]
                module.running_var.copy_(0.5 + torch.rand(module.weight.shape, generator=g))  # type: ignore[union-attr]
    return network.train()


def pictures(seed: int) -> Tensor:
    """(3, 3, 8, 11), of different strength, so that one scale for all images can be seen."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(IMAGES, 3, H, W, generator=g) * torch.tensor([0.8, 1.4, 2.4]).view(-1, 1, 1, 1)


# ---- which number is explained? --------------------------------------------------------------------------------------

Score = Callable[[Tensor, Tensor], Tensor]  # logits (B, K) and classes (B,) -> one number


def of(y: Tensor, c: Tensor) -> Tensor:
    return y.gather(1, c[:, None]).sum()


# A sigmoid of the logit is not among them: its gradient is that of the logit, up to a positive factor per image.
SCORES: list[tuple[str, Score]] = [
    ("", of),
    ("softmax_score", lambda y, c: of(y.softmax(1), c)),
    ("log_softmax_score", lambda y, c: of(y.log_softmax(1), c)),
    ("loss_for_logit", lambda y, c: functional.cross_entropy(y, c)),
    ("no_class", lambda y, c: y.sum()),
    ("no_class", lambda y, c: y.abs().sum()),
    ("no_class", lambda y, c: (y**2).sum()),
    ("no_class", lambda y, c: y.relu().sum()),
    ("no_class", lambda y, c: of(y, y.argmax(1))),
    ("wrong_class", lambda y, c: y[:, c].sum()),
    ("first_image_only", lambda y, c: y[0, c[0]]),
    ("wrong_class", lambda y, c: y[:, c[0]].sum()),
    ("wrong_class", lambda y, c: of(y, (c + 1) % CLASSES)),
    ("wrong_class", lambda y, c: of(y, (c - 1) % CLASSES)),
    ("wrong_class", lambda y, c: of(y, y.argmin(1))),
    ("wrong_class", lambda y, c: of(y, torch.full_like(c, int(y.argmax()) % CLASSES))),
    ("wrong_class", lambda y, c: y.sum() - of(y, c)),
    *(("wrong_class", lambda y, c, k=k: y[:, k].sum()) for k in range(CLASSES)),
    ("wrong_class", lambda y, c: y.max()),
]


def pair(x: Tensor, c: Tensor, score: Score, train: bool = False, last: int = 2) -> tuple[Tensor, Tensor]:
    """A and G behind a block, (B, C, h, w), float64 in the end."""
    network = probe().train(train)
    A = network.until(x, last).detach().requires_grad_()
    (G,) = torch.autograd.grad(score(network.behind(A, last), c), A)
    return A.detach().double(), G.double()


def right_maps(x: Tensor, c: Tensor | None, last: int = 2) -> Tensor:
    """Signed maps (B, h, w); of the predicted classes where none are given."""
    return wrong_maps.grad_cam(*pair(x, predicted(x) if c is None else c, of, last=last))


def predicted(x: Tensor) -> Tensor:
    with torch.no_grad():
        return probe().eval()(x).argmax(1)


def mistaken_maps(x: Tensor, c: Tensor, together: bool, twice: bool = False) -> list[tuple[str, Tensor]]:
    """Each mistake with its maps (B, h, w): one at a time, or, `twice`, a wrong method with a wrong score or mode.

    `together` says that the images run as one batch, which matters in train mode and where images mix.
    """
    if not together:
        lists = [mistaken_maps(x[b : b + 1], c[b : b + 1], True, twice) for b in range(len(x))]
        return [(rows[0][0], torch.cat([m for _, m in rows])) for rows in zip(*lists, strict=True)]
    pairs = [(key, pair(x, c, score)) for key, score in SCORES]
    train = [pair(x, c, score, train=True) for _, score in SCORES]
    if twice:
        usual = {key: p for key, p in reversed(pairs) if key}  # of each key the first
        scored = [(key, method(*p)) for key, p in usual.items() for _, method in wrong_maps.METHODS]
        return scored + [("train_mode", method(*train[0])) for _, method in wrong_maps.METHODS]
    found = [(key, method(*pairs[0][1])) for key, method in wrong_maps.METHODS]
    found += [(key, wrong_maps.grad_cam(*p)) for key, p in pairs if key]
    found += [("train_mode", wrong_maps.grad_cam(*p)) for p in train]
    others = [right_maps(x, c, last) for last in (1, 3, 4)]
    found += [("wrong_layer", resized(L)) for m in others for L in (m, m.relu())]
    return found + [("input_gradient", m) for m in saliencies(x, c)]


def resized(m: Tensor) -> Tensor:
    return functional.interpolate(m[:, None], (H, W), mode="bilinear")[:, 0]


def saliencies(x: Tensor, c: Tensor) -> list[Tensor]:
    x, g = pair(x, c, of, last=0)
    return [g.abs().amax(1), g.abs().sum(1), g.sum(1), g.amax(1), (g**2).sum(1), (x * g).sum(1), (x * g).abs().sum(1)]
