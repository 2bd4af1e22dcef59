"""The five methods: how a layer's activation A and its gradient G become one map. `gradcam` gets A and G.

All five want channels first, (B, C, h, w). For other layouts, a method of your own permutes A and G; see `cam`.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from cbam_lite.checks import number, tensor

Method = Callable[[Tensor, Tensor], Tensor]  # activation A and gradient G, both (B, C, h, w) -> raw map (B, h, w)


def channels_first(A: Tensor, G: Tensor) -> tuple[int, int, int, int]:
    """B, C, h, w of activation and gradient, or an error that says what is wrong with them."""
    tensor("A", A, "B, C, h, w", floating=True)
    if tensor("G", G, "B, C, h, w", floating=True).shape != A.shape:
        raise ValueError(f"G is {tuple(G.shape)} and A {tuple(A.shape)}: give a gradient of the activation's shape")
    B, C, h, w = A.shape
    return B, C, h, w


def grad_cam(A: Tensor, G: Tensor) -> Tensor:
    """Grad-CAM: each channel weighs as much as its mean gradient. (B, C, h, w) twice -> (B, h, w)

    ::

        L = sum_k w_k A_k        w_k = mean_ij G_k
    """
    B, C, h, w = channels_first(A, G)
    return (G.mean((2, 3), keepdim=True) * A).sum(1)


def grad_cam_plus_plus(A: Tensor, G: Tensor, eps: float = 0.0) -> Tensor:
    """Grad-CAM++ in its closed form, which needs no small number against division by zero.

    ::

        w_k = sum_ij max(G_k, 0) / (2 + S_k max(G_k, 0))        S_k = sum_ij A_k

    It is the paper's sum of alpha times the positive gradient, with its square cancelled. For activations that are not
    negative, as behind a ReLU, the denominator is at least 2. Chattopadhay et al., WACV 2018.

    Args:
        A, G: activation and gradient, (B, C, h, w).
        eps: added to the denominator before anything is cancelled, as the grad-cam package does with 1e-6. That is not
            small beside squared gradients, and changes the map.
    """
    B, C, h, w = channels_first(A, G)
    number("eps", eps, 0)
    S, g = A.sum((2, 3), keepdim=True), G.clamp_min(0)
    alpha_g = g**3 / (2 * g**2 + S * g**3 + eps) if eps else g / (2 + S * g)
    return (alpha_g.sum((2, 3), keepdim=True) * A).sum(1)


def xgrad_cam(A: Tensor, G: Tensor, eps: float = 0.0) -> Tensor:
    """XGrad-CAM: the gradients of a channel, averaged with its activations as weights. Fu et al., BMVC 2020.

    ::

        w_k = sum_ij(G_k A_k) / sum_ij A_k

    Args:
        A, G: activation and gradient, (B, C, h, w).
        eps: added to the denominator; the grad-cam package takes 1e-7. Without it, a channel whose activations add up
            to 0 has weight 0.
    """
    channels_first(A, G)
    S = A.sum((2, 3), keepdim=True) + number("eps", eps, 0)
    w = torch.where(S == 0, 0, (G * A).sum((2, 3), keepdim=True) / torch.where(S == 0, 1, S))
    return (w * A).sum(1)


def hires_cam(A: Tensor, G: Tensor) -> Tensor:
    """HiResCAM: gradient times activation, place by place, without an average. Draelos and Carin, 2020.

    ::

        L = sum_k G_k A_k
    """
    B, C, h, w = channels_first(A, G)
    return (G * A).sum(1)


def layer_cam(A: Tensor, G: Tensor) -> Tensor:
    """LayerCAM: as HiResCAM, with positive gradients only. Jiang et al., TIP 2021.

    ::

        L = sum_k max(G_k, 0) A_k
    """
    B, C, h, w = channels_first(A, G)
    return (G.clamp_min(0) * A).sum(1)


Name = Literal["Grad-CAM", "Grad-CAM++", "XGrad-CAM", "HiResCAM", "LayerCAM"]
METHODS: dict[str, Method] = {
    "Grad-CAM": grad_cam,
    "Grad-CAM++": grad_cam_plus_plus,
    "XGrad-CAM": xgrad_cam,
    "HiResCAM": hires_cam,
    "LayerCAM": layer_cam,
}
