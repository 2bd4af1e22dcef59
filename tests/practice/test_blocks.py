"""The judges of residual blocks and of insertion: the probes, the steps that they see, and what they accept."""

import copy

import collection.known_blocks
import collection.known_blocks_more
import collection.known_blocks_wrong
import collection.known_insertion
import pytest
import torch
from collection.entries import ENTRIES
from collection.known_blocks import Base
from torch import nn
from torch.nn import functional

from cbam_lite import CBAM, check, insert_attention
from cbam_lite.practice.block_maker import arguments, build, expansion_of
from cbam_lite.practice.blocks import head, holds_x, in_train_mode, run, tail
from cbam_lite.practice.inserted import PLACES, first_word, prepared, scaled, where
from cbam_lite.practice.plain_resnets import plain
from cbam_lite.practice.probes import Chain, Log, Probe, kind, scales
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.words_blocks import MISTAKES as WORDS

NAMES = ("known_blocks.", "known_blocks_more.", "known_blocks_wrong.", "known_insertion.")
MINE = [entry for entry in ENTRIES if entry.name.startswith(NAMES)]
VALUES = {"in_channels": 4, "out_channels": 8, "stride": 2, "attention": "A"}


@pytest.mark.parametrize("entry", MINE, ids=lambda entry: entry.name)
def test_known_ones(entry):
    answer = check(entry.thing, like=entry.like)
    assert answer.passed == (entry.key == ""), answer
    assert answer.key == entry.key


def test_the_collection_is_here():
    assert collection.known_blocks_more
    assert collection.known_insertion
    for like, rights, wrongs in (("residual block", 20, 40), ("identity insertion", 7, 15)):
        keys = [entry.key for entry in MINE if entry.like == like]
        assert keys.count("") >= rights
        assert len(keys) - keys.count("") >= wrongs


# ---- probes ----------------------------------------------------------------------------------------------------------


def test_a_probe_scales_and_remembers():
    log = Log()
    first, second = log.attention(4), log.attention(channels=4)
    x = torch.rand(2, 4, 3, 5)
    assert torch.equal(first(x), x * scales(4, 1))
    assert torch.equal(second(x), x * scales(4, 2))
    assert (scales(4, 1) - scales(4, 2)).abs().min() > 0.01
    assert [probe for probe, _ in log.calls] == [first, second]
    assert torch.equal(log.calls[0][1], x)
    log.scaling = False
    assert torch.equal(first(x), x)
    log.reply = torch.zeros(2, 4, 3, 5)
    assert not first(x).any()
    assert log.odd == log.not_made == ""


def test_a_probe_of_other_channels_is_odd():
    log = Log()
    log.attention(8)(torch.rand(2, 4, 3, 5))
    assert log.odd == "attention(8) got a map of shape (2, 4, 3, 5)"
    with pytest.raises(TypeError, match="takes a number of channels"):
        log.attention(torch.rand(2, 4, 3, 5))
    assert "with Tensor" in log.not_made


def test_copies_share_the_log():
    log = Log()
    net = nn.Sequential(log.attention(3))
    copy.deepcopy(net)(torch.rand(1, 3, 2, 2))
    assert len(log.calls) == 1
    assert isinstance(log.calls[0][0], Probe)
    assert log.calls[0][0] is not net[0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("conv2d", "conv"),
        ("batch_norm", "norm"),
        ("group_norm", "norm"),
        ("relu_", "act"),
        ("clamp_min", "act"),
        ("relu6", "other"),
        ("leaky_relu_", "other"),
        ("norm", ""),
        ("add", ""),
        ("__get__", ""),
    ],
)
def test_the_kind_of_a_step(name, wanted):
    assert kind(name) == wanted


def test_the_steps_to_a_map_in_any_style():
    conv, norm, x = nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), torch.rand(2, 3, 5, 5)
    with Chain(x) as chain:
        y = norm(conv(x)).relu_()
        y = y * 2 + torch.sigmoid(torch.zeros(1))
        y = functional.conv2d(input=torch.where(y > 0, y, 0 * y), weight=torch.rand(1, 4, 1, 1))
    steps = chain.before(y)
    assert [step.kind for step in steps] == ["conv", "norm", "act", "act", "conv"]
    assert steps[0].weight is conv.weight
    assert steps[1].weight is norm.weight
    assert chain.before(torch.rand(1)) == []


def test_a_relu_on_a_second_way_is_seen():
    x = torch.rand(2, 3, 5, 5) - 0.5
    with Chain(x) as chain:
        product, half, plain = x * (x > 0), (x + x.abs()) / 2, x * x.mean()
    assert [[step.kind for step in chain.before(y)] for y in (product, half, plain)] == [["act"], ["act"], []]


# ---- making the block ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "wanted"),
    [
        (lambda in_planes, planes, attn, stride=1: 0, {"in_planes": 4, "planes": 8, "attn": "A", "stride": 2}),
        (lambda n, m, s, f: 0, {"n": 4, "m": 8, "s": 2, "f": "A"}),
        (lambda a=1, b=1, c=1, d=None: 0, {"a": 4, "b": 8, "c": 2, "d": "A"}),
        (lambda n, m, stride, width, attention: 0, {"n": 4, "m": 8, "stride": 2, "width": 2, "attention": "A"}),
        (lambda *args: 0, None),
        (lambda inp, oup, **options: 0, {"inp": 4, "oup": 8, "stride": 2, "attention": "A"}),
    ],
)
def test_arguments_by_name_or_by_order(maker, wanted):
    assert arguments(Trial(), maker, VALUES, {"width": 2}) == wanted


@pytest.mark.parametrize(
    ("maker", "key"),
    [
        (lambda in_channels, out_channels, stride=1: 0, "no_attention_parameter"),
        (lambda channels, attention: 0, "no_size_parameter"),
    ],
)
def test_a_block_without_the_parameters(maker, key):
    with pytest.raises(Refused, match="the block is made with") as found:
        arguments(Trial(), maker, VALUES, {})
    assert found.value.key == key


def test_the_expansion_is_measured():
    assert expansion_of(Trial(), Base) == 1
    assert expansion_of(Trial(), collection.known_blocks.OwnBottleneck) == 1
    assert expansion_of(Trial(), collection.known_blocks.TorchvisionBottleneck) == 4


# ---- the parts of the judge ------------------------------------------------------------------------------------------


def test_head_and_tail_of_a_right_block():
    b = build(Trial(), Base, 16, 16, 1)
    y, F = run(Trial(), b, b.x)
    assert torch.allclose(y, torch.relu(b.x + F * b.log.calls[0][0].scale))
    assert tail(Trial(), b, y, F)
    assert head(Trial(), b, F, True) == "a basic block: two convolutions"
    assert not holds_x(Trial(), b)


def test_training_mode_leaves_the_block_as_it_was():
    b = build(Trial(), Base, 16, 16, 1)
    before = {name: value.clone() for name, value in b.block.state_dict().items()}
    in_train_mode(Trial(), b, b.x)
    assert not b.block.training
    assert all(torch.equal(value, before[name]) for name, value in b.block.state_dict().items())


def test_an_answer_for_a_block_has_numbers():
    answer = check(collection.known_blocks_wrong.Behind, like="residual block", hint=3)
    assert answer.key == "attention_after_addition"
    assert "the output is" in answer.says
    assert answer.tried[-1].startswith("if attention gives back any Z of shape (4, 64, 9, 13)")
    assert answer.link.endswith("networks.html#why-before-the-addition")


@pytest.mark.parametrize("family", ["plain", "cbam_lite"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_the_plain_networks_and_their_maps(family, kind):
    p = prepared(plain(family, kind), kind)
    assert len(p.blocks) == 5
    for name in p.blocks:
        F, y = p.maps[name, "last norm"], p.maps[name, "output"]
        assert torch.allclose(y, p.maps[name, "sum"].relu())
        assert where(p, F) == (name, "last norm")
    ones = [torch.ones(1)] * 5
    assert torch.equal(scaled(p, ones), p.y)
    assert not torch.allclose(scaled(p, [*ones[:4], torch.full((1,), 0.5)]), p.y)


def test_places_that_are_not_the_last_norm_are_named():
    p = prepared(plain("plain", "bottleneck"), "bottleneck")
    found = {first_word(place) for _, place in p.maps}
    assert found == set(PLACES)
    assert where(p, torch.zeros(1)) == ("", "")


def test_our_own_insertion_passes_with_our_own_attention():
    answer = check(lambda model, attention: insert_attention(model, attention, report=None), like="identity insertion")
    assert answer, answer
    assert len(answer.tried) == 7
    assert not check(lambda model, attention: insert_attention(model, CBAM, report=None), like="identity insertion")


@pytest.mark.parametrize("like", ["residual block", "identity insertion"])
def test_things_of_the_wrong_kind(like):
    for thing in (3, nn.Identity()):
        answer = check(thing, like=like)
        assert answer.key == ("not_a_class" if like == "residual block" else "not_a_function")


def test_every_label_and_place_has_words():
    labels = {entry.key for entry in MINE}
    assert (labels | set(PLACES.values())) <= set(WORDS) | {"", "unfilled", "raises"}
