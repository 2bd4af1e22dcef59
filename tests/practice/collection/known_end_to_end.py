"""Grad-CAM end to end, from a model and images to maps: right ones in many styles, and what goes wrong."""

import contextlib
import copy

import numpy as np
import torch
from collection.entries import right, wrong
from torch import nn
from torch.nn import functional

from cbam_lite.explaining.gradcam import cam, logit

# ---- right -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def evaluation(model):
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, mode in modes:
            module.training = mode


def weighed(A, G):
    return (G.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()


def explained(model, images, layer, score, finish=weighed):
    """A plain Grad-CAM with a hook; the entries below change one thing each."""
    kept = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        with evaluation(model):
            value = score(model(images))
        return finish(kept[0], torch.autograd.grad(value, kept[0])[0])
    finally:
        handle.remove()


def picked(y, classes):
    return y[torch.arange(len(y)), classes].sum()


@right("Grad-CAM", "the package's own, which gives a dictionary")
def ours(model, images, layer, classes):
    return cam(model, images, layer, logit(classes))


@right("Grad-CAM", "the usual one")
def usual(model, images, layer, classes):
    return explained(model, images, layer, lambda y: picked(y, classes))


@right("Grad-CAM", "other names and order, predicted classes, resized to the images")
def resized(net, target_layer, x, class_idx=None):
    def score(y):
        return picked(y, y.argmax(1) if class_idx is None else class_idx)

    maps = explained(net, x, target_layer, score)
    return functional.interpolate(maps[:, None], x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


@right("Grad-CAM", "one image, an index, NumPy out, corners aligned")
def one_image(model, image, layer, class_idx):
    heat = explained(model, image, layer, lambda y: y[0, class_idx])
    heat = functional.interpolate(heat[None], image.shape[-2:], mode="bilinear", align_corners=True)[0, 0]
    heat = heat - heat.min()
    return (heat / (heat.max() + 1e-8)).numpy()


@right("Grad-CAM", "no classes at all: the predicted one")
def predicted_class(model, images, layer):
    return explained(model, images, layer, lambda y: y.max(1).values.sum())


@right("Grad-CAM", "a copy of the model, backward hooks, .backward()")
def on_a_copy(model, images, layer_name, classes):
    model = copy.deepcopy(model).eval()
    layer, kept = dict(model.named_modules())[layer_name], {}
    layer.register_forward_hook(lambda m, i, o: kept.update(A=o))
    layer.register_full_backward_hook(lambda m, i, o: kept.update(G=o[0]))
    y = model(images)
    y.backward(functional.one_hot(torch.as_tensor(classes), y.shape[1]).to(y.dtype))
    return np.maximum((kept["G"].mean((2, 3), keepdim=True) * kept["A"]).sum(1).detach().numpy(), 0)


@right("Grad-CAM", "pytorch-grad-cam, cleaned up behind")
def library(model, images, layer, classes):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with evaluation(model), GradCAM(model=model, target_layers=[layer]) as explain:
        maps = explain(input_tensor=images, targets=[ClassifierOutputTarget(int(c)) for c in classes])
    model.zero_grad()
    return maps


@right("Grad-CAM", "captum")
def by_captum(model, images, layer, classes):
    from captum.attr import LayerGradCam

    with evaluation(model):
        return LayerGradCam(model, layer).attribute(images, target=classes, relu_attributions=True)


@right("Grad-CAM", "one image after the other, a list of maps")
def list_of_maps(model, images, layer, classes):
    return [usual(model, x[None], layer, torch.tensor([int(c)]))[0] for x, c in zip(images, classes, strict=True)]


@right("Grad-CAM", "a class with a hook, made with model and layer, called with images and classes")
class WithHooks:
    def __init__(self, model, target_layer):
        self.model = model
        self.handle = target_layer.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.A = output

    def __call__(self, x, class_idx=None):
        with evaluation(self.model):
            y = self.model(x)
        score = picked(y, y.argmax(1) if class_idx is None else class_idx)
        return weighed(self.A, torch.autograd.grad(score, self.A)[0])

    def remove(self):
        self.handle.remove()


@right("Grad-CAM", "torch-cam")
def by_torchcam(model, images, layer, classes):
    from torchcam.methods import GradCAM

    with evaluation(model), GradCAM(model, layer) as explain:
        return explain([int(c) for c in classes], model(images))[0]


@right("Grad-CAM", "OpenCV, 256 steps, one image")
def picture(model, image, target_layer, class_idx):
    import cv2

    heat = explained(model, image, target_layer, lambda y: y[0, class_idx])[0].numpy()
    heat = cv2.resize(heat, (image.shape[3], image.shape[2]))
    return np.uint8(255 * (heat - heat.min()) / (heat.max() - heat.min()))


@right("Grad-CAM", "one image after the other on one graph")
def on_one_graph(model, images, layer, classes):
    def each(y):
        return [y[b, int(c)] for b, c in enumerate(classes)]

    kept, maps = [], []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with evaluation(model):
        scores = each(model(images))
    handle.remove()
    for b, score in enumerate(scores):
        (g,) = torch.autograd.grad(score, kept[0], retain_graph=True)
        heat = torch.einsum("k,khw->hw", g[b].mean((1, 2)), kept[0][b]).relu()
        maps.append(heat / (heat.max() + 1e-8))
    return torch.stack(maps)


@right("Grad-CAM", "a hook on the tensor, the gradients of the weights put back")
def tensor_hook(model, input_tensor, target_layer, target_class):
    kept = {}

    def keep(module, inputs, output):
        kept["A"] = output
        output.register_hook(lambda g: kept.update(G=g))

    handle, before = target_layer.register_forward_hook(keep), [p.grad for p in model.parameters()]
    with evaluation(model):
        picked(model(input_tensor), target_class).backward()
    handle.remove()
    for parameter, grad in zip(model.parameters(), before, strict=True):
        parameter.grad = grad
    maps = weighed(kept["A"], kept["G"])
    return functional.interpolate(maps[:, None], input_tensor.shape[-2:], mode="bicubic").squeeze(1).numpy()


# ---- wrong -----------------------------------------------------------------------------------------------------------


@wrong("Grad-CAM", "softmax_score")
def softmaxed(model, images, layer, classes):
    return explained(model, images, layer, lambda y: picked(y.softmax(1), classes))


@wrong("Grad-CAM", "log_softmax_score")
def log_softmaxed(model, images, layer, classes):
    return explained(model, images, layer, lambda y: picked(y.log_softmax(1), classes))


@wrong("Grad-CAM", "loss_for_logit")
def loss(model, images, layer, classes):
    return explained(model, images, layer, lambda y: functional.cross_entropy(y, torch.as_tensor(classes)))


@wrong("Grad-CAM", "no_class")
def all_logits(model, images, layer, classes):
    return explained(model, images, layer, lambda y: y.sum())


@wrong("Grad-CAM", "no_class")
def always_predicted(model, images, layer, classes):
    return explained(model, images, layer, lambda y: y.max(1).values.sum())


@wrong("Grad-CAM", "wrong_class")
def columns(model, images, layer, classes):
    return explained(model, images, layer, lambda y: y[:, classes].sum())


@wrong("Grad-CAM", "wrong_class")
def from_one(model, images, layer, classes):
    return explained(model, images, layer, lambda y: picked(y, classes - 1))


@wrong("Grad-CAM", "first_image_only")
def first_logit(model, images, layer, classes):
    return explained(model, images, layer, lambda y: y[0, classes[0]])


@wrong("Grad-CAM", "train_mode")
def in_train_mode(model, images, layer, classes):
    kept = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    y = model(images)
    handle.remove()
    return weighed(kept[-1], torch.autograd.grad(picked(y, classes), kept[-1])[0])


@wrong("Grad-CAM", "mode_left")
def leaves_eval(model, images, layer, classes):
    model.eval()
    return explained(model, images, layer, lambda y: picked(y, classes))


@wrong("Grad-CAM", "hooks_left")
def leaves_a_hook(model, images, layer, classes):
    kept = {}
    layer.register_forward_hook(lambda module, inputs, output: kept.update(A=output))
    with evaluation(model):
        y = model(images)
    return weighed(kept["A"], torch.autograd.grad(picked(y, classes), kept["A"])[0])


@wrong("Grad-CAM", "hooks_left")
def keeps_the_first(model, images, layer, classes):
    kept = getattr(layer, "kept", None)
    if kept is None:
        kept = layer.kept = []
        layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with evaluation(model):
        y = model(images)
    return weighed(kept[0], torch.autograd.grad(picked(y, classes), kept[-1])[0])


@wrong("Grad-CAM", "gradients_left")
def backward(model, images, layer, classes):
    kept = []
    handle = layer.register_forward_hook(lambda module, inputs, output: (output.retain_grad(), kept.append(output))[1])
    with evaluation(model):
        y = model(images)
    handle.remove()
    picked(y, classes).backward()
    return weighed(kept[0], kept[0].grad)


@wrong("Grad-CAM", "gradients_left")
def bare_library(model, images, layer, classes):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=model, target_layers=[layer]) as explain:
        return explain(input_tensor=images, targets=[ClassifierOutputTarget(int(c)) for c in classes])


@wrong("Grad-CAM", "model_changed")
def frozen(model, images, layer, classes):
    maps = usual(model, images, layer, classes)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return maps


@wrong("Grad-CAM", "model_changed")
def predicts_in_train_mode(model, images, layer, classes):
    model(images)
    return usual(model, images, layer, classes)


@wrong("Grad-CAM", "input_gradient")
def saliency(model, images, layer, classes):
    x = images.clone().requires_grad_()
    with evaluation(model):
        (g,) = torch.autograd.grad(picked(model(x), classes), x)
    return g.abs().amax(1)


@wrong("Grad-CAM", "wrong_layer")
def last_layer(model, images, layer, classes):
    layer = [m for m in model.modules() if isinstance(m, nn.Sequential)][-1]
    maps = explained(model, images, layer, lambda y: picked(y, classes))
    return functional.interpolate(maps[:, None], images.shape[2:], mode="bilinear")[:, 0]


@wrong("Grad-CAM", "no_mean_of_gradients")
def hires(model, images, layer, classes):
    return explained(model, images, layer, lambda y: picked(y, classes), lambda A, G: (G * A).sum(1).relu().detach())


@wrong("Grad-CAM", "mean_over_batch")
def one_weight_for_all(model, images, layer, classes):
    def finish(A, G):
        return (A * G.mean((0, 2, 3))[:, None, None]).sum(1).relu().detach()

    return explained(model, images, layer, lambda y: picked(y, classes), finish)


@wrong("Grad-CAM", "one_scale_for_batch")
def one_peak_for_all(model, images, layer, classes):
    maps = usual(model, images, layer, classes)
    return maps / maps.max()


@wrong("Grad-CAM", "wrong_axes")
def wrong_size(model, images, layer, classes):
    maps = usual(model, images, layer, classes)
    size = images.shape[3], images.shape[2]
    return functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0]


@wrong("Grad-CAM", "raises")
def misspelt(model, images, layer, classes):
    return model.no_such_layer(images)


@wrong("Grad-CAM", "mean_over_batch")
def one_map_for_all(model, x, layer, classes):
    return usual(model, x, layer, classes).mean(0)
