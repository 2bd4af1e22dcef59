"""Insertion of attention into a network that is there already: right ones, and those with one known mistake."""

import copy

import torch
import torch.fx
import torchvision
from collection.entries import right, wrong
from torch import nn

from cbam_lite import insert_attention

right("identity insertion", "ours, which starts as the identity")(insert_attention)


def residual_blocks(model):
    return [m for m in model.modules() if hasattr(m, "bn2")]


def last(block):
    return "bn3" if hasattr(block, "bn3") else "bn2"


def behind(block, name, module):
    setattr(block, name, nn.Sequential(getattr(block, name), module))


# ---- right -----------------------------------------------------------------------------------------------------------


@right("identity insertion", "stage by stage")
def by_stages(model, attention):
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            name = last(block)
            behind(block, name, attention(getattr(block, name).num_features))
    return model


@right("identity insertion", "torchvision's classes")
def by_class(net, att):
    kinds = {torchvision.models.resnet.BasicBlock: "bn2", torchvision.models.resnet.Bottleneck: "bn3"}
    for block in net.modules():
        if type(block) in kinds:
            name = kinds[type(block)]
            behind(block, name, att(getattr(block, name).weight.numel()))
    return net


@right("identity insertion", "our own network has a place for it")
def into_our_place(model, attention):
    for block in residual_blocks(model):
        block.attention = attention(getattr(block, last(block)).num_features)


@right("identity insertion", "by names, the last norm of each block, a copy")
def by_names(model, attention):
    model = copy.deepcopy(model)
    for name, m in list(model.named_modules()):
        if name.endswith(("bn3", "bn2")):
            block = model.get_submodule(name.rpartition(".")[0])
            if name.endswith(last(block)):
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, nn.Sequential(m, attention(m.num_features)))
    return model


class Blend(nn.Module):
    """x + a (module(x) - x), a = 0 at first: the identity, whatever the module."""

    def __init__(self, module):
        super().__init__()
        self.module, self.a = module, nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.a * (self.module(x) - x)


@right("identity insertion", "a factor that starts at 0")
def blended(model, attention):
    for block in residual_blocks(model):
        behind(block, last(block), Blend(attention(getattr(block, last(block)).num_features)))
    return model


class Wrapped(nn.Module):
    """A block in a new coat that computes its branch itself."""

    def __init__(self, block, attention):
        super().__init__()
        self.block = block
        self.attention = attention(getattr(block, last(block)).num_features)

    def forward(self, x):
        b = self.block
        F = b.conv2(b.bn1(b.conv1(x)).relu())
        F = b.bn3(b.conv3(b.bn2(F).relu())) if hasattr(b, "bn3") else b.bn2(F)
        return (self.attention(F) + (x if b.downsample is None else b.downsample(x))).relu()


@right("identity insertion", "each block in a new coat")
def wrapped(model, attention):
    for name, block in list(model.named_modules()):
        if hasattr(block, "bn2"):
            model.set_submodule(name, Wrapped(block, attention).train(block.training))
    return model


@right("identity insertion", "attention first, children walked recursively")
def recursive(attention, model):
    for name, child in model.named_children():
        if hasattr(model, "conv2") and name == last(model):
            setattr(model, name, nn.Sequential(child, attention(child.num_features)))
        else:
            recursive(attention, child)
    return model


@right("identity insertion", "the graph rewritten by torch.fx")
def rewritten(model, attention):
    net = torch.fx.symbolic_trace(model)
    layers = dict(net.named_modules())
    for node in list(net.graph.nodes):
        block, _, norm = str(node.target).rpartition(".")
        if node.op == "call_module" and norm == ("bn3" if f"{block}.bn3" in layers else "bn2"):
            name = f"{block}_attention".replace(".", "_")
            net.add_submodule(name, attention(layers[node.target].num_features))
            with net.graph.inserting_after(node):
                new = net.graph.call_module(name, (node,))
            node.replace_all_uses_with(new)
            new.args = (node,)
    net.recompile()
    return net.train(model.training)


# ---- wrong -----------------------------------------------------------------------------------------------------------


@wrong("identity insertion", "attention_on_input")
def in_front_of_each_block(model, attention):
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for n, block in enumerate(stage):
            stage[n] = nn.Sequential(attention(block.conv1.in_channels), block)
    return model


@wrong("identity insertion", "wrong_channels")
def numbers_written_down(model, attention):
    """The channels of a ResNet-18."""
    for stage, channels in (("layer1", 64), ("layer2", 128), ("layer3", 256), ("layer4", 512)):
        for block in getattr(model, stage):
            behind(block, last(block), attention(channels))
    return model


@wrong("identity insertion", "unfilled")
def nothing(model, attention):
    """The body is still to be written."""


@wrong("identity insertion", "attention_not_called")
def unchanged(model, attention):
    return model


@wrong("identity insertion", "attention_not_called")
def only_an_attribute(model, attention):
    """Nothing calls it."""
    for block in residual_blocks(model):
        block.extra = attention(getattr(block, last(block)).num_features)
    return model


@wrong("identity insertion", "attention_not_made")
def called_with_the_norm(model, attention):
    for block in residual_blocks(model):
        behind(block, last(block), attention(getattr(block, last(block))))
    return model


@wrong("identity insertion", "attention_before_last_norm")
def before_the_norm(model, attention):
    for block in residual_blocks(model):
        name = "conv3" if hasattr(block, "conv3") else "conv2"
        behind(block, name, attention(getattr(block, name).out_channels))
    return model


@wrong("identity insertion", "not_last_norm")
def always_bn2(model, attention):
    """In a bottleneck, bn3 is the last norm."""
    for block in residual_blocks(model):
        behind(block, "bn2", attention(block.bn2.num_features))
    return model


@wrong("identity insertion", "not_last_norm")
def every_norm_of_the_blocks(model, attention):
    for block in residual_blocks(model):
        for name in ("bn1", "bn2", "bn3"):
            if hasattr(block, name):
                behind(block, name, attention(getattr(block, name).num_features))
    return model


@wrong("identity insertion", "outside_blocks")
def the_stem_too(model, attention):
    behind(model, "bn1", attention(model.bn1.num_features))
    return by_stages(model, attention)


@wrong("identity insertion", "only_some_blocks")
def last_stage(model, attention):
    for block in model.layer4:
        behind(block, last(block), attention(getattr(block, last(block)).num_features))
    return model


@wrong("identity insertion", "after_addition")
def after_each_stage(model, attention):
    """One for a stage, behind its last block."""
    for name in ("layer1", "layer2", "layer3", "layer4"):
        stage = getattr(model, name)
        stage.append(attention(getattr(stage[-1], last(stage[-1])).num_features))
    return model


@wrong("identity insertion", "one_shared_module")
def cached(model, attention):
    made = {}
    for block in residual_blocks(model):
        channels = getattr(block, last(block)).num_features
        made[channels] = made.get(channels) or attention(channels)
        behind(block, last(block), made[channels])
    return model


@wrong("identity insertion", "weights_changed")
def new_norms(model, attention):
    """The old norm is replaced by a new one."""
    for block in residual_blocks(model):
        channels = getattr(block, last(block)).num_features
        setattr(block, last(block), nn.Sequential(nn.BatchNorm2d(channels).eval(), attention(channels)))
    return model


@wrong("identity insertion", "not_identity")
def with_relu(model, attention):
    for block in residual_blocks(model):
        behind(block, last(block), nn.Sequential(nn.ReLU(), attention(getattr(block, last(block)).num_features)))
    return model


@wrong("identity insertion", "mode_changed")
def tried_out(model, attention):
    model = by_stages(model, attention)
    model.eval()
    return model


@wrong("identity insertion", "frozen")
def all_frozen(model, attention):
    return by_stages(model, attention).requires_grad_(False)


@wrong("identity insertion", "detached")
def without_gradient(model, attention):
    class Silent(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return x * (self.inner(x) / x).detach()

    return by_stages(model, lambda channels: Silent(attention(channels)))


@wrong("identity insertion", "attention_unused")
def result_lost(model, attention):
    for block in residual_blocks(model):
        norm = getattr(block, last(block))
        norm.attention = attention(norm.num_features)
        norm.register_forward_hook(lambda m, i, out: (m.attention(out), None)[1])
    return model


@wrong("identity insertion", "weights_changed")
def tried_in_train_mode(model, attention):
    """A trial run in training mode moves the running statistics."""
    model = by_stages(model, attention)
    mode = model.training
    model.train()
    weight = next(model.parameters())
    model(torch.rand(2, 3, 32, 32, dtype=weight.dtype))
    return model.train(mode)
