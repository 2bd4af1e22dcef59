"""Grad-CAM and its relatives: against the equations, the grad-cam package, and everything that can go wrong."""

import functools
from collections.abc import Callable

import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from cbam_lite import CBAM, ResNet, cam, defect_net, resnet18
from cbam_lite.explaining.gradcam import capture, contrast, logit, normalise, positive, resize
from cbam_lite.explaining.methods import METHODS, grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, xgrad_cam
from cbam_lite.networks.resnet import BasicBlock

LAYERS = ["layer2", "layer3", "layer4"]
# The library's class, and our method with the library's small number.
LIBRARY = {
    "Grad-CAM": (GradCAM, grad_cam),
    "Grad-CAM++": (GradCAMPlusPlus, functools.partial(grad_cam_plus_plus, eps=1e-6)),
    "XGrad-CAM": (XGradCAM, functools.partial(xgrad_cam, eps=1e-7)),
    "HiResCAM": (HiResCAM, hires_cam),
    "LayerCAM": (LayerCAM, layer_cam),
}


def network(attention: Callable[[int], nn.Module] | None = None) -> ResNet:
    torch.manual_seed(0)
    return ResNet(BasicBlock, (1, 1, 1, 1), attention, num_classes=5, stem="half", planes=8).eval()


def by_definition(A: Tensor, G: Tensor, name: str) -> Tensor:
    """One image, loops instead of broadcasting; Grad-CAM++ with the alphas of its paper."""
    C, h, w = A.shape
    result = torch.zeros(h, w, dtype=A.dtype)
    for k in range(C):
        S = A[k].sum()
        if name == "Grad-CAM":
            result += G[k].mean() * A[k]
        elif name == "Grad-CAM++":
            g = G[k]
            alpha = torch.where(g != 0, g**2 / (2 * g**2 + S * g**3), 0)
            result += (alpha * g.clamp_min(0)).sum() * A[k]
        elif name == "XGrad-CAM":
            result += (G[k] * A[k] / S).sum() * A[k]
        elif name == "HiResCAM":
            result += G[k] * A[k]
        else:
            result += G[k].clamp_min(0) * A[k]
    return result


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_their_equations(name: str) -> None:
    A, G = torch.rand(3, 4, 5, 6, dtype=torch.float64), torch.randn(3, 4, 5, 6, dtype=torch.float64)
    expected = torch.stack([by_definition(a, g, name) for a, g in zip(A, G, strict=True)])
    assert torch.allclose(METHODS[name](A, G), expected, atol=1e-12)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("attention", [None, lambda channels: CBAM(channels, hidden=4)], ids=["plain", "CBAM"])
def test_same_map_as_the_library(name: str, layer: str, attention: Callable[[int], nn.Module] | None) -> None:
    model, images = network(attention).double(), torch.rand(4, 3, 96, 64, dtype=torch.float64)
    classes = [0, 3, 4, 1]
    theirs_class, method = LIBRARY[name]
    ours = cam(model, images, layer, logit(classes), method)[layer]
    ours = normalise(resize(positive(ours), (96, 64)))
    with theirs_class(model, [model.get_submodule(layer)]) as library:
        theirs = torch.from_numpy(library(images, [ClassifierOutputTarget(c) for c in classes]))
    assert (ours - theirs).abs().max() <= 1e-6


def test_last_block_of_a_pooled_network_is_cam() -> None:
    model, images = network().double(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    A = model.features(images)  # (2, 64, 4, 4)
    h, w = A.shape[2:]
    expected = torch.einsum("k,bkij->bij", model.fc.weight[2] / (h * w), A)
    for name in ("Grad-CAM", "XGrad-CAM", "HiResCAM"):
        assert torch.allclose(cam(model, images, "layer4", logit(2), name)["layer4"], expected, atol=1e-12), name


def test_batch_is_the_same_as_one_by_one(device: torch.device) -> None:
    model, images = network().to(device), torch.rand(3, 3, 64, 64, device=device)
    together = cam(model, images, LAYERS, logit([0, 1, 2]))
    for i in range(3):
        alone = cam(model, images[i : i + 1], LAYERS, logit(i))
        for layer in LAYERS:
            assert torch.allclose(together[layer][i], alone[layer][0], atol=1e-6)


def test_several_layers_are_those_one_by_one() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    together = cam(model, images, ["layer4", "layer2"], logit(1))
    assert list(together) == ["layer4", "layer2"]
    for layer in together:
        assert torch.allclose(together[layer], cam(model, images, layer, logit(1))[layer], atol=1e-7)


# ---- no side effects ------------------------------------------------------------------------------------------------


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules())


def test_model_is_left_as_it_was() -> None:
    model, images = network().train(), torch.rand(2, 3, 64, 64)
    model.bn1.eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    cam(model, images, LAYERS, logit(0))
    with pytest.raises(ZeroDivisionError):
        cam(model, images, LAYERS, lambda output: 1 / 0)  # type: ignore[arg-type, return-value]
    assert [module.training for module in model.modules()] == modes
    assert hooks(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(context: Callable[[], object]) -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    expected = cam(model, images, "layer4", logit(0))["layer4"]
    with context():  # type: ignore[attr-defined]
        assert torch.equal(cam(model, images, "layer4", logit(0))["layer4"], expected)


def test_frozen_network() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    expected = cam(model, images, "layer3", logit(0))["layer3"]
    assert torch.equal(cam(model.requires_grad_(False), images, "layer3", logit(0))["layer3"], expected)


def test_in_place_operations_behind_the_layer() -> None:
    """`bn1` is followed by an in-place ReLU: what is caught must be the norm's output, negative values and all."""
    model, images = network(), torch.rand(2, 3, 64, 64)
    with capture(model, {"bn1": model.bn1}) as caught:
        model(images)
    assert caught["bn1"].min() < 0
    assert torch.equal(caught["bn1"], model.bn1(model.conv1(images)))


def test_images_are_not_changed() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5))

    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    cam(InPlace(), images, "net.layer4", logit(0))
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    expected = cam(model, images, "layer4", logit(0))["layer4"]
    short = cam(model.to(dtype), images.to(dtype), "layer4", logit(0))["layer4"]
    assert short.dtype == torch.float32
    assert torch.corrcoef(torch.stack([short.flatten(), expected.flatten()]))[0, 1] > 0.99


def test_autocast() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    expected = cam(model, images, "layer4", logit(0))["layer4"]
    with torch.autocast("cpu", torch.bfloat16):
        short = cam(model, images, "layer4", logit(0))["layer4"]
    assert torch.corrcoef(torch.stack([short.flatten(), expected.flatten()]))[0, 1] > 0.99


def test_compiled_model() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    expected = cam(model, images, "layer4", logit(0))["layer4"]
    assert torch.equal(cam(torch.compile(model, backend="eager"), images, "layer4", logit(0))["layer4"], expected)  # type: ignore[arg-type]


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_layer_that_is_not_there() -> None:
    with pytest.raises(
        ValueError, match=r"ResNet has no layer 'layer5': did you mean 'layer4'\? Its parts are conv1, .*fc;"
    ):
        cam(network(), torch.rand(1, 3, 64, 64), "layer5", logit(0))


def test_layer_that_runs_twice() -> None:
    with pytest.raises(RuntimeError, match=r"layer1\.0\.relu ran twice in one pass"):
        cam(network(), torch.rand(1, 3, 64, 64), "layer1.0.relu", logit(0))


def test_layer_that_does_not_run() -> None:
    model = network()
    model.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(RuntimeError, match="spare did not run"):
        cam(model, torch.rand(1, 3, 64, 64), ["layer4", "spare"], logit(0))


def test_wrong_number_of_classes() -> None:
    with pytest.raises(ValueError, match="2 classes for 3 images"):
        cam(network(), torch.rand(3, 3, 64, 64), "layer4", logit([0, 1]))


def test_class_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="classes 5 to 5 of 5 outputs: count classes from 0"):
        cam(network(), torch.rand(1, 3, 64, 64), "layer4", logit(5))


def test_data_parallel_is_refused() -> None:
    with pytest.raises(TypeError, match=r"explain model\.module instead"):
        cam(nn.DataParallel(network()), torch.rand(1, 3, 64, 64), "module.layer4", logit(0))


def test_layer_that_gives_no_tensor() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Pair())
    with pytest.raises(TypeError, match="1 gives tuple, not a tensor: choose a layer inside it"):
        cam(model, torch.rand(1, 3, 8, 8), "1", lambda output: output[0].mean((1, 2, 3)))


def test_channel_without_activation_has_no_weight() -> None:
    A, G = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    A[0, 1] = 1
    assert torch.equal(METHODS["XGrad-CAM"](A, G), torch.ones(1, 2, 2))


def test_score_that_is_not_one_number_for_each_image() -> None:
    with pytest.raises(ValueError, match=r"gave \(\) for 3 images: it has to give one number for each, \(3,\)"):
        cam(network(), torch.rand(3, 3, 64, 64), "layer4", lambda output: output.sum())


def test_saturated_softmax() -> None:
    model = network()
    with torch.no_grad():
        model.fc.weight.mul_(1e4)
    images = torch.rand(2, 3, 64, 64)
    with pytest.raises(ValueError, match="a saturated softmax"):
        cam(model, images, "layer4", lambda output: output.softmax(1).amax(1))
    assert cam(model, images, "layer4", logit(0))["layer4"].abs().max() > 0


def test_layer_that_the_score_does_not_use() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.first(x).mean((1, 2, 3)), self.second(x).mean((1, 2, 3))

    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match="does not depend on second"):
        cam(TwoHeads(), images, ["first", "second"], lambda output: output[0])
    with pytest.raises(ValueError, match="does not depend on the layers"):
        cam(TwoHeads(), images, "second", lambda output: output[1].detach())


# ---- scores and steps -----------------------------------------------------------------------------------------------


def test_contrast_is_the_difference_of_two_maps() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)
    a, b, both = (cam(model, images, "layer4", s)["layer4"] for s in (logit(1), logit(3), contrast(1, 3)))
    assert torch.allclose(both, a - b, atol=1e-6)


def test_steps_from_map_to_picture() -> None:
    maps = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]])
    assert positive(maps)[0].tolist() == [[0, 0], [1, 3]]
    assert normalise(maps)[0].tolist() == [[0, 0.25], [0.5, 1]]
    assert normalise(maps)[1].tolist() == [[0, 0], [0, 0]]
    assert resize(maps, (4, 6)).shape == (2, 4, 6)
    assert torch.allclose(resize(maps, (4, 4))[0, 0], torch.tensor([-1, -0.75, -0.25, 0.0]))


def test_scaling_the_logit_scales_the_map() -> None:
    A, G = torch.rand(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
    assert torch.allclose(grad_cam(A, 3 * G), 3 * grad_cam(A, G), atol=1e-6)


def test_trained_network_sees_the_class(device: torch.device) -> None:
    assert cam(defect_net("CBAM").to(device), torch.rand(2, 3, 64, 64, device=device), "layer3", logit(0))
    assert cam(resnet18(num_classes=4), torch.rand(1, 3, 64, 64), "layer4.1.conv2", logit(0))


def test_only_what_stands_behind_the_layer_is_recorded() -> None:
    model, images = network(), torch.rand(2, 3, 64, 64)

    def bytes_kept(run: Callable[[], object]) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            run()
        return sum(sizes)

    assert bytes_kept(lambda: cam(model, images, "layer4", logit(0))) < 0.01 * bytes_kept(lambda: model(images))


def test_weights_are_trainable_again_also_after_an_error() -> None:
    model = network()
    model.fc.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    cam(model, torch.rand(2, 3, 64, 64), "layer3", logit(0))
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    with pytest.raises(ValueError, match="classes for"):
        cam(model, torch.rand(2, 3, 64, 64), "layer3", logit([0, 1, 2]))
    assert [parameter.requires_grad for parameter in model.parameters()] == before


def test_classes_below_zero_are_named() -> None:  # on CUDA they would end the process
    with pytest.raises(ValueError, match="classes -1 to 3 of 5 outputs"):
        cam(network(), torch.rand(2, 3, 64, 64), "layer3", logit([-1, 3]))


def test_a_wrapped_network_is_asked_itself() -> None:
    """What torch.compile wraps: hooks on compiled code would stay silent, so the network inside runs."""
    network, images = defect_net("CBAM").eval(), torch.rand(2, 3, 64, 64)

    def not_called(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> None:
        raise AssertionError("the compiled code was asked for")

    wrapped = torch.compile(network, backend=not_called)
    maps = cam(wrapped, images, "layer4", logit(1))["layer4"]
    torch.testing.assert_close(maps, cam(network, images, "layer4", logit(1))["layer4"])
