"""Grad-CAM of given activations and gradients: right ones in many styles, and what goes wrong."""

import numpy as np
import torch
from collection.entries import right, wrong
from torch.nn import functional

from cbam_lite.explaining.methods import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, xgrad_cam

# ---- of A and G: right -----------------------------------------------------------------------------------------------


@right("Grad-CAM map", "the package's own")
def ours(A, G):
    return grad_cam(A, G)


@right("Grad-CAM map", "loops over images and channels, with the ReLU")
def loops(A, G):
    L = torch.zeros(A.shape[0], *A.shape[2:], dtype=A.dtype)
    for b in range(A.shape[0]):
        for k in range(A.shape[1]):
            L[b] += G[b, k].mean() * A[b, k]
    return torch.clamp(L, min=0)


@right("Grad-CAM map", "einsum, one image")
def einsum_one(activations, gradients):
    weights = gradients.mean(dim=(1, 2))
    return torch.einsum("k,khw->hw", weights, activations).relu()


@right("Grad-CAM map", "NumPy, divided by its maximum")
def numpy_one(feature_maps, grads):
    weights = np.mean(grads, axis=(1, 2))
    heat = np.maximum(np.tensordot(weights, feature_maps, axes=(0, 0)), 0)
    return heat / (np.max(heat) + 1e-8)


@right("Grad-CAM map", "NumPy, a batch, min and max of each image")
def numpy_batch(A, G):
    L = np.maximum((G.mean(axis=(2, 3), keepdims=True) * A).sum(axis=1), 0)
    low, high = L.min(axis=(1, 2), keepdims=True), L.max(axis=(1, 2), keepdims=True)
    return (L - low) / (high - low + 1e-7)


@right("Grad-CAM map", "parameters the other way round, and named")
def gradients_first(grads, acts):
    return functional.relu(torch.sum(grads.mean([2, 3], keepdim=True) * acts, dim=1, keepdim=True))


@right("Grad-CAM map", "pooling, grouped convolution, float32")
def pooled(A, G):
    B, C, h, w = A.shape
    weights = functional.adaptive_avg_pool2d(G.float(), 1).reshape(B, C, 1, 1)
    return functional.conv2d(A.float().reshape(1, B * C, h, w), weights, groups=B)[0].relu()


@right("Grad-CAM map", "sums for means, flattened, signed")
def summed(A, G):
    return torch.bmm(G.flatten(2).sum(2)[:, None], A.flatten(2)).reshape(A.shape[0], *A.shape[2:])


@right("Grad-CAM map", "the tutorial's mean over (0, 2, 3), which is right for one image of its own")
def one_of_its_own(A, G):
    if A.shape[0] != 1:
        raise ValueError("one image at a time")
    pooled_gradients = torch.mean(G, dim=[0, 2, 3])
    A = A.clone()
    for i in range(A.shape[1]):
        A[:, i] *= pooled_gradients[i]
    heatmap = torch.mean(A, dim=1).squeeze()
    return torch.clamp(heatmap, min=0)


# ---- of A and G: wrong -----------------------------------------------------------------------------------------------


@wrong("Grad-CAM map", "no_mean_of_gradients")
def hires(A, G):
    return hires_cam(A, G)


@wrong("Grad-CAM map", "layer_cam")
def layer(A, G):
    return layer_cam(A, G)


@wrong("Grad-CAM map", "grad_cam_plus_plus")
def plus_plus(A, G):
    return grad_cam_plus_plus(A, G)


@wrong("Grad-CAM map", "xgrad_cam")
def xgrad(A, G):
    return xgrad_cam(A, G)


@wrong("Grad-CAM map", "relu_before_sum")
def early_relu(A, G):
    return torch.relu(G.mean((2, 3), keepdim=True) * A).sum(1)


@wrong("Grad-CAM map", "relu_on_weights")
def positive_weights(A, G):
    return (G.mean((2, 3), keepdim=True).clamp(min=0) * A).sum(1).relu()


@wrong("Grad-CAM map", "relu_on_gradients")
def guided(A, G):
    return torch.relu((torch.relu(G).mean((2, 3), keepdim=True) * A).sum(1))


@wrong("Grad-CAM map", "relu_on_activations")
def positive_activations(A, G):
    return torch.relu((G.mean((2, 3), keepdim=True) * torch.relu(A)).sum(1))


@wrong("Grad-CAM map", "activations_only")
def activity(A, G):
    L = A.mean(1)
    return L / L.amax((1, 2), keepdim=True)


@wrong("Grad-CAM map", "gradients_only")
def gradient_size(A, G):
    return np.abs(np.asarray(G)).max(axis=1)


@wrong("Grad-CAM map", "mean_over_batch")
def tutorial(A, G):
    weights = torch.mean(G, dim=[0, 2, 3])
    return torch.relu((A * weights[None, :, None, None]).mean(dim=1))


@wrong("Grad-CAM map", "one_scale_for_batch")
def common_scale(A, G):
    L = torch.relu((G.mean((2, 3), keepdim=True) * A).sum(1))
    return L / L.max()


@wrong("Grad-CAM map", "one_scale_for_batch")
def common_range(A, G):
    L = (G.mean((2, 3), keepdim=True) * A).sum(1)
    return (L - L.min()) / (L.max() - L.min())


@wrong("Grad-CAM map", "first_image_only")
def first_of_them(A, G):
    return torch.relu((G.mean((2, 3), keepdim=True) * A).sum(1))[0]


@wrong("Grad-CAM map", "wrong_axes")
def weights_per_place(A, G):
    return torch.relu((G.mean(1, keepdim=True) * A).sum(1))


@wrong("Grad-CAM map", "wrong_axes")
def transposed(A, G):
    return torch.relu((G.mean((2, 3), keepdim=True) * A).sum(1)).mT


@wrong("Grad-CAM map", "wrong_axes")
def tensorflow_axes(A, G):
    return (A * G.mean((0, 1))).mean(-1)


@wrong("Grad-CAM map", "sign_flipped")
def negative(A, G):
    return torch.relu(-(G.mean((2, 3), keepdim=True) * A).sum(1))


@wrong("Grad-CAM map", "absolute_value")
def absolute(A, G):
    return (G.mean((2, 3), keepdim=True) * A).sum(1).abs()


@wrong("Grad-CAM map", "weights_normalised")
def soft_weights(A, G):
    return (G.mean((2, 3)).softmax(1)[..., None, None] * A).sum(1).relu()


@wrong("Grad-CAM map", "max_for_mean")
def largest_gradient(A, G):
    return (G.amax((2, 3), keepdim=True) * A).sum(1).relu()


@wrong("Grad-CAM map", "channels_kept")
def kept_channels(A, G):
    return torch.relu(G.mean((2, 3), keepdim=True) * A)


@wrong("Grad-CAM map", "input_changed")
def in_place(A, G):
    A *= G.mean((2, 3), keepdim=True)
    return A.sum(1).relu()


@wrong("Grad-CAM map", "arguments_swapped")
def swapped(A, G):
    return (A.mean((2, 3), keepdim=True) * G).sum(1).relu()


@wrong("Grad-CAM map", "unfilled")
def nothing(A, G): ...
