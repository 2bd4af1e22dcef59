"""CBAM's two gates taken apart without a word about the channel gate: for weights that no shape tells apart.

Far from all content a spatial gate is a constant. So on a map with an empty part, R there is M_c up to that constant,
and R divided by it is M_s up to the same. Very large maps, whose largest gate is 1, give the constant.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from cbam_lite.practice import windows
from cbam_lite.practice.subject import Subject
from cbam_lite.practice.windows import Kernel, Pairs

EMPTY, AWAY = 17, 8  # columns without content; that many from content on both sides, even if the padding is circular
TINY = 1e-40


def with_empty_part(F: Tensor) -> Tensor:
    """F (B, C, H, W) with 17 empty columns at its right; R can still be read there."""
    return torch.cat([F, TINY * (2 - F[..., :1].sign()).expand(*F.shape[:3], EMPTY)], 3)


def taken_apart(s: Subject, F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """F with an empty part, M_c (B, C, 1, 1) up to a constant, and M_s (B, 1, H, W) up to its inverse."""
    wide = with_empty_part(F)
    R = s.R(wide)
    far = R[:, :, :1, F.shape[3] + AWAY, None]
    best = far.abs().argmax(1, keepdim=True)  # (B, 1, 1, 1)
    M_s = R.gather(1, best.expand(-1, -1, *wide.shape[2:])) / far.gather(1, best)
    return wide, far, M_s


def spatial_kernel(s: Subject) -> tuple[Kernel, float] | None:
    """The kernel, if the spatial gate is a sigmoid of a convolution of F' = M_c F, and the largest R; else None.

    The largest R is 1; or 2 or 4, where gates are twice the sigmoid so that the module can start as the identity.
    """
    extremes = [taken_apart(s, 1e4 * s.maps(seed)) for seed in (41, 42)]
    largest = max(M_s.max().item() for _, _, M_s in extremes)
    high = max((M_c * M_s).max().item() for _, M_c, M_s in extremes)
    if not any(abs(high - n) < 1e-6 for n in (1, 2, 4)):
        return None
    pairs: Pairs = []
    for F in (s.maps(43), s.maps(44, size=(7, 6)), 0.2 * s.maps(45)):
        wide, M_c, M_s = taken_apart(s, F)
        pairs.append((M_c * largest / high * wide, M_s / largest))
    found = windows.first_fit(windows.readings(right=True), pairs)
    return (found[1], high) if found is not None and found[0].key == "" else None


class ChannelGate(nn.Module):
    """M_c (B, C, 1, 1) of a CBAM whose spatial kernel is known, for any map.

    R = u v w with v and w known up to the factor u of each image: M_c = u v, and M_s = w / u is the sigmoid of the
    convolution of u v F. One unknown, H W equations. `high` is the largest R; M_c comes out between 0 and 1.
    """

    def __init__(self, module: nn.Module, kernel: Kernel, high: float = 1.0) -> None:
        super().__init__()
        self.module, self.kernel, self.high = module, kernel, high

    def forward(self, F: Tensor) -> Tensor:
        R = self.module(F) / F / self.high
        best = R.abs().amax((2, 3)).argmax(1)
        w = R[torch.arange(len(R)), best].flatten(1)  # (B, HW): of the channel whose gate is the largest
        place = w.argmax(1)[:, None, None].expand(-1, R.shape[1], 1)
        v = (R.flatten(2).gather(2, place) / w.amax(1)[:, None, None])[..., None]  # (B, C, 1, 1), at most 1
        g = (self.kernel.logits(windows.MEAN_AND_MAX(v * F)) - self.kernel.bias).flatten(1)
        return v * factors(w, g, self.kernel.bias)[:, None, None, None]


def factors(w: Tensor, g: Tensor, bias: Tensor) -> Tensor:
    """u (B,) with sigmoid(u g + bias) = w / u at all places; w and g are (B, HW)."""
    low = w.amax(1).clamp(min=1e-12)[:, None]
    grid = low * (1 / low) ** torch.linspace(0, 1, 120, dtype=w.dtype)  # (B, 120), from the largest w to 1
    off = fn.logsigmoid(grid[..., None] * g[:, None] + bias) + grid[..., None].log() - w.log()[:, None]
    u = grid.gather(1, off.square().sum(2).argmin(1, keepdim=True))  # (B, 1)
    for _ in range(12):  # Gauss-Newton
        z = u * g + bias
        off_u = fn.logsigmoid(z) + u.log() - w.log()
        slope = torch.sigmoid(-z) * g + 1 / u
        step = (off_u * slope).sum(1, keepdim=True) / slope.square().sum(1, keepdim=True)
        u = (u - step).clamp(min=1e-12)
    return u[:, 0]


@dataclass
class Alone(Subject):
    """The channel gate of a CBAM as a subject. `names` are those of the channel gate's weights in the CBAM."""

    names: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Tensor]:
        named = self.module.named_parameters()
        found: dict[str, Tensor] = {name: p for name, p in named if name.removeprefix("module.") in self.names}
        if any(p.dim() > 1 and p.numel() == len(p) > 1 for p in found.values()):  # lengths of weight norm: no biases
            return {"all": torch.cat([p.flatten() for p in found.values()])}
        return found


def channel_subject(s: Subject, names: Iterable[str]) -> Subject | None:
    """The channel gate alone; None where the spatial gate is not understood."""
    found = spatial_kernel(s)
    if found is None:
        return None
    return Alone(s.trial, ChannelGate(s.module, *found), s.channels, s.made, "gate", s.notes, frozenset(names))
