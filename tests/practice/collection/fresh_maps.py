"""Grad-CAM, of given activations and end to end, as others write it; written without knowledge of the checker."""

import numpy as np
import torch
import torch.nn.functional as F
from collection.entries import right, wrong


@right("Grad-CAM map", "any number of leading axes")
def paper_map(A, G):
    """The paper's equations."""
    alpha = G.mean(dim=(-2, -1), keepdim=True)
    return torch.relu((alpha * A).sum(dim=-3))


@right("Grad-CAM map", "one image, a loop over the channels")
def loop_map(activations, grads):
    """The loop of the blogs, for one image."""
    weights = torch.mean(grads, dim=[1, 2])
    cam = torch.zeros(activations.shape[1:], dtype=activations.dtype)
    for i, w in enumerate(weights):
        cam += w * activations[i, :, :]
    return F.relu(cam)


@right("Grad-CAM map", "NumPy, min-max")
def numpy_map(activation, gradient):
    """NumPy; scaled to [0, 1]."""
    activation, gradient = np.asarray(activation), np.asarray(gradient)
    w = np.mean(gradient, axis=(1, 2))
    cam = np.maximum(np.tensordot(w, activation, axes=1), 0)
    cam = cam - np.min(cam)
    return cam / (np.max(cam) + 1e-12)


@right("Grad-CAM map", "einsum, signed")
def signed_map(A, dY):
    """No ReLU, the sum for the mean."""
    return torch.einsum("bkij,bk->bij", A, torch.einsum("bkij->bk", dY))


@right("Grad-CAM map", "matrix product, keeps the channel axis")
def matmul_map(feature_map, gradient):
    """A batched matrix product."""
    b, c, h, w = feature_map.size()
    weights = F.adaptive_avg_pool2d(gradient, 1).view(b, 1, c)
    return weights.bmm(feature_map.view(b, c, h * w)).view(b, h, w).clamp(min=0)


@right("Grad-CAM map", "scaled by the largest value of each image")
def maximum_map(A, G):
    """Each image's map has the maximum 1."""
    maps = torch.stack([torch.tensordot(g.flatten(1).mean(1), a, dims=1) for a, g in zip(A, G, strict=True)])
    maps = torch.maximum(maps, torch.zeros_like(maps))
    return maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-20)


@wrong("Grad-CAM map", "no_mean_of_gradients")
def hires_map(A, G):
    """Each place is weighed by its own gradient."""
    return (A * G).sum(-3).relu()


@wrong("Grad-CAM map", "layer_cam")
def layer_map(A, G):
    """Positive gradients at each place."""
    return (A * G.relu()).sum(-3).relu()


@wrong("Grad-CAM map", "relu_before_sum")
def early_relu(A, G):
    """The ReLU inside the sum."""
    return F.relu(A * G.mean((-2, -1), keepdim=True)).sum(-3)


@wrong("Grad-CAM map", "relu_on_weights")
def positive_weights(A, G):
    """Only the channels that speak for the class."""
    return (A * G.mean((-2, -1), keepdim=True).clamp(min=0)).sum(-3)


@wrong("Grad-CAM map", "relu_on_gradients")
def positive_gradients(A, G):
    """The gradients lose their sign before the mean."""
    return torch.relu((A * F.relu(G).mean((-2, -1), keepdim=True)).sum(-3))


@wrong("Grad-CAM map", "activations_only")
def mean_activation(A, G):
    """The mean of the activations."""
    return A.mean(-3).relu()


@wrong("Grad-CAM map", "gradients_only")
def mean_gradient(A, G):
    """The mean of the gradients at each place."""
    return G.mean(-3).relu()


@wrong("Grad-CAM map", "sign_flipped")
def minus(A, G):
    """What speaks against the class."""
    return torch.relu(-(A * G.mean((-2, -1), keepdim=True)).sum(-3))


@wrong("Grad-CAM map", "absolute_value")
def absolute(A, G):
    """abs for ReLU."""
    return (A * G.mean((-2, -1), keepdim=True)).sum(-3).abs()


@wrong("Grad-CAM map", "one_scale_for_batch")
def common_scale(A, G):
    """Divides by the largest value of all images."""
    maps = torch.einsum("bkij,bk->bij", A, G.mean((2, 3))).relu()
    return (maps - maps.min()) / (maps.max() - maps.min())


@wrong("Grad-CAM map", "mean_over_batch")
def batch_weights(A, G):
    """The weights of all images are averaged, too."""
    weights = torch.mean(G, dim=[0, 2, 3])
    return torch.relu((A * weights[None, :, None, None]).sum(1))


@wrong("Grad-CAM map", "weights_normalised")
def softmax_weights(A, G):
    """Softmax of the weights."""
    return torch.relu((A * G.mean((-2, -1), keepdim=True).softmax(-3)).sum(-3))


@wrong("Grad-CAM map", "wrong_axes")
def wrong_axes(A, G):
    """The mean over the channels and the height."""
    return torch.relu((A * G.mean((-3, -2), keepdim=True)).sum(-3))


@wrong("Grad-CAM map", "max_for_mean")
def largest_gradient(A, G):
    """The largest gradient of each channel."""
    return torch.relu((A * G.amax((-2, -1), keepdim=True)).sum(-3))


@wrong("Grad-CAM map", "view_mixup")
def reshaped(A, G):
    """Channels last by reshape."""
    h, w = A.shape[-2:]
    weights = G.mean((-2, -1))
    places = A.reshape(*A.shape[:-3], h * w, A.shape[-3])
    return torch.relu((places * weights.unsqueeze(-2)).sum(-1)).reshape(*A.shape[:-3], h, w)


@right("Grad-CAM", "forward hook, autograd.grad, class indices or None")
def grad_cam(model, images, layer, classes=None):
    """A forward hook and autograd.grad; module or name."""
    layer = model.get_submodule(layer) if isinstance(layer, str) else layer
    kept, modes = {}, [(m, m.training) for m in model.modules()]
    handle = layer.register_forward_hook(lambda _m, _i, out: kept.update(A=out) or out.clone())
    try:
        model.eval()
        logits = model(images.clone().requires_grad_())
    finally:
        handle.remove()
        for m, mode in modes:
            m.training = mode
    if classes is None:
        classes = logits.argmax(1)
    classes = torch.as_tensor(classes).expand(len(images))
    (G,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), kept["A"])
    return paper_map(kept["A"], G).detach()


@right("Grad-CAM", "retain_grad, backward for the activation only")
def retained(net, x, target_layer, labels=None):
    """retain_grad on the activation, one image after the other."""
    maps, was_training = [], net.training
    net.eval()
    for n, image in enumerate(x):
        saved = []

        def keep(module, args, output, saved=saved):
            output.retain_grad()
            saved.append(output)
            return output.clone()

        hook = target_layer.register_forward_hook(keep)
        scores = net(image[None])
        hook.remove()
        k = scores.argmax().item() if labels is None else int(labels if isinstance(labels, int) else labels[n])
        scores[0, k].backward(inputs=saved)
        maps.append(F.relu((saved[0].grad.mean((2, 3), keepdim=True) * saved[0]).sum(1))[0].detach())
    net.train(was_training)
    return torch.stack(maps)


class Recorder:
    """The class of the tutorials: a forward hook that hooks the gradient of the tensor."""

    def __init__(self, module):
        self.handle = module.register_forward_hook(self.save)

    def save(self, module, inputs, output):
        self.activation = output.detach().clone()
        if output.requires_grad:
            output.register_hook(self.save_gradient)

    def save_gradient(self, gradient):
        self.gradient = gradient.detach().clone()


def run(model, images, layer, score, combine=paper_map, mode=False, restore=True, remove=True):
    """The tutorials' function; `score` makes a number of the logits (B, K)."""
    training, recorder = model.training, Recorder(layer)
    model.train(mode)
    images = images.detach().clone().requires_grad_()
    logits = model(images)
    torch.autograd.grad(score(logits), images)
    if remove:
        recorder.handle.remove()
    if restore:
        model.train(training)
    return combine(recorder.activation, recorder.gradient)


def chosen(classes=None):
    """The sum of the logits of the asked or the predicted classes."""

    def score(logits):
        index = logits.argmax(1) if classes is None else torch.as_tensor(classes).expand(len(logits))
        return logits[torch.arange(len(logits)), index].sum()

    return score


@right("Grad-CAM", "resized to the image, [0, 1], an array")
def resized(model, images, layer, classes=None):
    """Resized, scaled to [0, 1], NumPy."""
    cam = run(model, images, layer, chosen(classes)).unsqueeze(1)
    cam = F.interpolate(cam, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    cam = cam - cam.amin((1, 2), keepdim=True)
    return (cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-20)).numpy()


@right("Grad-CAM", "one-hot product, one class for all")
def one_hot_cam(network, batch, module, target):
    """The gradient of a product with one-hot rows; the class must be given."""

    def score(logits):
        return (logits * F.one_hot(torch.as_tensor(target), logits.size(1))).sum()

    return run(network, batch, module, score)


@right("Grad-CAM", "one image, a map (h, w)")
def single(model, image, layer, class_idx=None):
    """A batch of one; the map has no batch axis."""
    maps = run(model, image, layer, lambda z: z[0, z[0].argmax() if class_idx is None else int(class_idx)])
    return maps.squeeze(0)


@wrong("Grad-CAM", "softmax_score")
def probabilities(model, images, layer, classes=None):
    """The gradient of the probability."""
    return run(model, images, layer, lambda z: chosen(classes)(z.softmax(1)))


@wrong("Grad-CAM", "log_softmax_score")
def log_probabilities(model, images, layer, classes=None):
    """The gradient of the logarithm of the probability."""
    return run(model, images, layer, lambda z: chosen(classes)(F.log_softmax(z, 1)))


@wrong("Grad-CAM", "loss_for_logit")
def of_the_loss(model, images, layer, classes=None):
    """The gradient of the cross-entropy."""

    def loss(z):
        return F.cross_entropy(z, z.argmax(1) if classes is None else torch.as_tensor(classes).expand(len(z)))

    return run(model, images, layer, loss)


@wrong("Grad-CAM", "no_class")
def all_classes(model, images, layer, classes=None):
    """The sum of all logits."""
    return run(model, images, layer, lambda z: z.sum())


@wrong("Grad-CAM", "no_class")
def classes_forgotten(model, images, layer, classes=None):
    """Takes the predicted class whatever is asked."""
    return run(model, images, layer, chosen())


@wrong("Grad-CAM", "wrong_class")
def least_class(model, images, layer, classes=None):
    """The class with the smallest logit is taken for the predicted one."""
    return run(model, images, layer, lambda z: chosen(z.argsort(1)[:, 0] if classes is None else classes)(z))


@wrong("Grad-CAM", "train_mode")
def training_on(model, images, layer, classes=None):
    """Batch norm reads the batch and dropout drops."""
    return run(model, images, layer, chosen(classes), mode=True)


@wrong("Grad-CAM", "mode_left")
def eval_left(model, images, layer, classes=None):
    """The network stays in eval mode."""
    return run(model, images, layer, chosen(classes), restore=False)


@wrong("Grad-CAM", "hooks_left")
def hook_left(model, images, layer, classes=None):
    """The hook stays."""
    return run(model, images, layer, chosen(classes), remove=False)


@wrong("Grad-CAM", "gradients_left")
def filled(model, images, layer, classes=None):
    """A full backward fills the gradients of all weights."""
    training, recorder = model.training, Recorder(layer)
    model.eval()
    chosen(classes)(model(images)).backward()
    recorder.handle.remove()
    model.train(training)
    return paper_map(recorder.activation, recorder.gradient)


@wrong("Grad-CAM", "input_gradient")
def saliency(model, images, layer, classes=None):
    """The gradient with respect to the image."""
    training, x = model.training, images.detach().clone().requires_grad_()
    model.eval()
    (gradient,) = torch.autograd.grad(chosen(classes)(model(x)), x)
    model.train(training)
    return gradient.abs().amax(1)


@wrong("Grad-CAM", "first_image_only")
def first_only(model, images, layer, classes=None):
    """Takes the first image's map for all."""
    return run(model, images, layer, chosen(classes))[:1].expand(len(images), -1, -1)


@wrong("Grad-CAM", "no_mean_of_gradients")
def elementwise(model, images, layer, classes=None):
    """HiResCAM."""
    return run(model, images, layer, chosen(classes), hires_map)


@wrong("Grad-CAM", "one_scale_for_batch")
def batch_scale(model, images, layer, classes=None):
    """One minimum and one maximum for all images."""
    return run(model, images, layer, chosen(classes), common_scale)


@wrong("Grad-CAM", "mean_over_batch")
def batch_mean(model, images, layer, classes=None):
    """The weights are those of the whole batch."""
    return run(model, images, layer, chosen(classes), batch_weights)


@wrong("Grad-CAM", "model_changed")
def frozen(model, images, layer, classes=None):
    """Freezes the weights and leaves them frozen."""
    for p in model.parameters():
        p.requires_grad_(False)
    return run(model, images, layer, chosen(classes))


@wrong("Grad-CAM", "sign_flipped")
def negative(model, images, layer, classes=None):
    """The score is negated, as a loss would be."""
    return run(model, images, layer, lambda z: -chosen(classes)(z))


@wrong("Grad-CAM", "wrong_axes")
def turned(model, images, layer, classes=None):
    """(W, H) as OpenCV takes it, given to a function which wants (H, W)."""
    cam = run(model, images, layer, chosen(classes)).unsqueeze(1)
    return F.interpolate(cam, size=images.shape[2:][::-1], mode="bilinear", align_corners=False)[:, 0]


@wrong("Grad-CAM", "relu_on_weights")
def only_positive(model, images, layer, classes=None):
    """The weights go through the ReLU, not the map."""
    return run(model, images, layer, chosen(classes), positive_weights)


@wrong("Grad-CAM", "activations_only")
def no_gradient(model, images, layer, classes=None):
    """The gradient is taken and never used."""
    return run(model, images, layer, chosen(classes), mean_activation)
