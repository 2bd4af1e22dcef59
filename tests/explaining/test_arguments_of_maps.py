"""Every public function of the part, with arguments of another kind: the error names the argument, never Python's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_lite import cam, defect_net, score
from cbam_lite.explaining import faithfulness, gradcam, localize, methods

NET, IMAGES = defect_net("plain").eval(), torch.rand(2, 3, 32, 32)
MAPS, MASKS = torch.rand(2, 32, 32), torch.rand(2, 32, 32) < 0.5
A, G = torch.rand(2, 4, 8, 8), torch.rand(2, 4, 8, 8)
SCORE = gradcam.logit(1)
BOXES = torch.tensor([[0, 0, 2, 2]])

OTHER = ["text", None, np.ones((2, 32, 32)), object()]  # instead of a tensor
NOT_MAPS = [*OTHER, torch.rand(32, 32), torch.rand(2, 3, 4, 32, 32), torch.rand(2, 0, 32), MAPS + 1j]
NOT_MASKS = [*OTHER, MASKS[0], MASKS.float(), MASKS[:, :0]]
NOT_IMAGES = [*OTHER, IMAGES[0], IMAGES.byte(), IMAGES[:, :, :0]]
NOT_ACTIVATIONS = [*OTHER, A[0], A[:, 0], A.long(), A + 1j]
NOT_NUMBERS = ["text", None, float("nan"), float("inf"), torch.ones(2), True]
NOT_WHOLE = ["text", None, 0.5, torch.ones(2), True]
NOT_SIZES = ["ab", None, 8, (8,), (0, 8), (8, -1), (8, 0.5)]
NOT_CLASSES = ["pitting", None, 1.5, [0.5, 1], True, [["a"]], torch.rand(2)]
NOT_LISTS = ["text", None, 0.5, [], ["a"], [float("nan")]]
NOT_FUNCTIONS = ["logit", None, 3]

ASKED: dict[str, Any] = {"model": NET, "images": IMAGES, "maps": MAPS, "score": SCORE}
NOT_ASKED = {
    "model": ["net", None, 3],
    "images": [*NOT_IMAGES, IMAGES[:0]],
    "maps": [*NOT_MAPS, MAPS[:1], MAPS * torch.nan],
    "score": NOT_FUNCTIONS,
}
SCORED, NOT_SCORED = {"maps": MAPS, "masks": MASKS}, {"maps": [*NOT_MAPS, -MAPS], "masks": NOT_MASKS}

# function: (arguments that it takes, what to give instead of each)
CASES: dict[Callable[..., Any], tuple[dict[str, Any], dict[str, list[Any]]]] = {
    cam: (
        {"model": NET, "images": IMAGES, "layers": "layer4", "score": SCORE, "method": "Grad-CAM"},
        {
            "model": ["net", None, 3],
            "images": [*OTHER, IMAGES[0], IMAGES[:0], IMAGES.byte(), torch.tensor(1.0)],
            "layers": [NET.layer4, [NET.layer4], None, 3, []],
            "score": NOT_FUNCTIONS,
            "method": [None, 3, "grad", lambda A, G: A, lambda A, G: None],
        },
    ),
    gradcam.logit: ({"classes": 1}, {"classes": NOT_CLASSES}),
    gradcam.contrast: ({"first": 1, "second": 2}, {"first": NOT_CLASSES, "second": NOT_CLASSES}),
    gradcam.smooth: (
        {"maps": MAPS, "width": 3},
        {"maps": [*NOT_MAPS, MASKS], "width": [*NOT_WHOLE, 0, 2]},
    ),
    gradcam.positive: ({"maps": MAPS}, {"maps": NOT_MAPS}),
    gradcam.normalise: ({"maps": MAPS}, {"maps": [*NOT_MAPS, MASKS]}),
    gradcam.resize: ({"maps": MAPS, "size": (8, 8)}, {"maps": [*NOT_MAPS, MASKS], "size": NOT_SIZES}),
    **{method: ({"A": A, "G": G}, {"A": NOT_ACTIVATIONS, "G": [*NOT_ACTIVATIONS, G[:1]]})
       for method in methods.METHODS.values()},
    localize.peak: ({"maps": MAPS}, {"maps": [*NOT_MAPS, MAPS * torch.nan]}),
    localize.pointing: ({**SCORED, "tolerance": 1}, {**NOT_SCORED, "tolerance": [*NOT_NUMBERS, -1]}),
    localize.area: ({"masks": MASKS}, {"masks": NOT_MASKS}),
    localize.energy: (SCORED, NOT_SCORED),
    localize.lift: (SCORED, NOT_SCORED),
    localize.above: ({"maps": MAPS, "tau": 0.5}, {"maps": NOT_MAPS, "tau": [*NOT_NUMBERS, 2]}),
    localize.mask_iou: ({**SCORED, "tau": 0.5}, {**NOT_SCORED, "tau": [*NOT_NUMBERS, -0.1]}),
    localize.boxes_of_parts: ({"mask": MASKS[0]}, {"mask": [*OTHER, MASKS, MASKS[0].byte()]}),
    localize.box_of_map: ({"maps": MAPS, "tau": 0.5}, {"maps": NOT_MAPS, "tau": NOT_NUMBERS}),
    localize.box_iou: (
        {"a": BOXES, "b": BOXES},
        {name: [*OTHER, torch.rand(2, 3), -BOXES, BOXES * torch.nan] for name in "ab"},
    ),
    localize.box_ious: ({**SCORED, "taus": (0.5,)}, {**NOT_SCORED, "taus": [*NOT_LISTS, (2,)]}),
    localize.max_box_acc_v2: (
        {"ious": torch.rand(4, 3), "deltas": (0.5,), "tuned_on": torch.rand(2, 3)},
        {
            "ious": [*OTHER, torch.rand(4)],
            "deltas": [*NOT_LISTS, (5,)],
            "tuned_on": ["text", torch.rand(3), torch.rand(2, 4), torch.full((2, 3), torch.nan)],
        },
    ),
    localize.pixel_counts: ({**SCORED, "bins": 10}, {**NOT_SCORED, "bins": [*NOT_WHOLE, 0]}),
    localize.px_ap: (
        {"inside": torch.ones(4), "total": torch.full((4,), 2.0)},
        {"inside": [*OTHER, torch.ones(3), torch.full((4,), 3.0)], "total": [*OTHER, torch.ones(5), torch.zeros(4)]},
    ),
    score: (
        {**SCORED, "images": IMAGES, "groups": torch.arange(2), "resamples": 10, "level": 0.9, "seed": 0},
        {
            "maps": [*NOT_MAPS, MASKS, MAPS[:1]],
            "masks": [*NOT_MASKS, MASKS[:1]],
            "images": [*OTHER, IMAGES[0], IMAGES[:, :1], IMAGES[:1]],
            "groups": ["text", 3, torch.arange(3), torch.ones(2, 2)],
            "resamples": [*NOT_WHOLE, 0],
            "level": [*NOT_NUMBERS, 95],
            "seed": [*NOT_WHOLE, -1],
        },
    ),
    localize.perfect_maps: ({"masks": MASKS, "size": (4, 4)}, {"masks": NOT_MASKS, "size": NOT_SIZES}),
    localize.uniform_maps: ({"masks": MASKS}, {"masks": NOT_MASKS}),
    localize.centre_maps: ({"masks": MASKS, "width": 0.2}, {"masks": NOT_MASKS, "width": [*NOT_NUMBERS, 0]}),
    localize.edge_maps: ({"images": IMAGES}, {"images": [*OTHER, IMAGES[0], IMAGES[:, :, :0]]}),
    localize.mean_activation: ({"A": A, "G": G}, {"A": NOT_ACTIVATIONS}),
    localize.draws: (
        {"N": 4, "resamples": 10, "seed": 0},
        {"N": NOT_WHOLE, "resamples": [*NOT_WHOLE, 0], "seed": [*NOT_WHOLE, -1]},
    ),
    localize.percentiles: (
        {"samples": torch.rand(9), "level": 0.9},
        {"samples": [*OTHER, torch.rand(0)], "level": [*NOT_NUMBERS, 95]},
    ),
    localize.paired_bootstrap: (
        {"a": torch.rand(4), "b": torch.rand(4), "resamples": 10, "level": 0.9, "seed": 0},
        {
            "a": [*OTHER, torch.rand(2, 2)],
            "b": ["text", None, torch.rand(2, 2)],
            "resamples": [*NOT_WHOLE, 0],
            "level": [*NOT_NUMBERS, 95],
            "seed": [*NOT_WHOLE, -1],
        },
    ),
    faithfulness.probability: ({"classes": 1}, {"classes": NOT_CLASSES}),
    faithfulness.order: ({"maps": MAPS, "seed": 0}, {"maps": [*NOT_MAPS, MAPS * torch.nan], "seed": NOT_WHOLE}),
    faithfulness.mean_colour: ({"images": IMAGES}, {"images": NOT_IMAGES}),
    faithfulness.blurred: ({"images": IMAGES}, {"images": NOT_IMAGES}),
    **{test: (
        {**ASKED, "fill": faithfulness.blurred, "steps": 2, "seed": 0},
        {
            **NOT_ASKED,
            "fill": ["black", None, lambda images: images[:1], lambda images: 0],
            "steps": [*NOT_WHOLE, 0],
            "seed": NOT_WHOLE,
        },
    ) for test in (faithfulness.deletion, faithfulness.insertion)},
    faithfulness.road: (
        {**ASKED, "fractions": (0.5,), "seed": 0},
        {**NOT_ASKED, "fractions": [*NOT_LISTS, (1,)], "seed": NOT_WHOLE},
    ),
    faithfulness.auc: ({"curves": torch.rand(2, 3)}, {"curves": [*OTHER, torch.rand(3), torch.rand(2, 1)]}),
    faithfulness.impute: (
        {"image": IMAGES[0], "gone": MASKS[0], "noise": 0, "seed": 0},
        {
            "image": [*OTHER, IMAGES, IMAGES[0].byte()],
            "gone": [*OTHER, MASKS[0].byte(), MASKS[0, :4]],
            "noise": [*NOT_NUMBERS, -1],
            "seed": [*NOT_WHOLE, -1],
        },
    ),
    faithfulness.combined: (
        {"morf": torch.rand(2, 3), "lerf": torch.rand(2, 3)},
        {"morf": [*OTHER, torch.rand(3)], "lerf": [*OTHER, torch.rand(2, 2)]},
    ),
    faithfulness.cascade: (
        {"model": NET, "stages": ["fc"], "seed": 0},
        {"model": ["net", None], "stages": ["fc", None, 3, [NET.fc]], "seed": NOT_WHOLE},
    ),
    faithfulness.rank_correlation: (
        {"a": MAPS, "b": MAPS},
        {"a": [*OTHER, MAPS[0]], "b": [*OTHER, MAPS[0]]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("run", CASES, ids=lambda run: run.__name__)
def test_arguments_of_another_kind_are_named(run: Callable[..., Any]) -> None:
    right, wrong = CASES[run]
    run(**right)  # what is right is taken
    for name, values in wrong.items():
        for value in values:
            try:
                said = f"no error, but {run(**(right | {name: value}))!r:.80}"
            except (TypeError, ValueError) as error:
                said = str(error)
            assert not said.startswith("no error"), f"{name}={value!r:.80} gave {said}"
            assert name in said, f"{name}={value!r:.80} gave {said}"


def test_every_public_function_is_here() -> None:
    tried = {run.__name__ for run in CASES} | {"capture"}  # which has a test of its own
    for part in (gradcam, localize, faithfulness):
        own = {name for name, value in vars(part).items() if getattr(value, "__module__", "") == part.__name__}
        documented = {name for name in own if name[0].islower() and not name.startswith("_")}
        helpers = {"class_numbers", "of_class", "gradients_of", "checked", "without_empty", "of_bool", "of_numbers"}
        assert documented - tried <= helpers | {"finite", "scores", "filling", "exchange", "filled", "forget"}


@pytest.mark.parametrize("layers", ["layer4", None, [NET.layer4], {"layer4": "layer4"}])
def test_capture_names_layers_that_are_no_mapping(layers: Any) -> None:
    with pytest.raises(TypeError, match="layers"), gradcam.capture(NET, layers):
        pass
    with pytest.raises(TypeError, match="model must be"), gradcam.capture("net", {}):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"score": 3}, r"score must be a function, got 3 of type int: use score=logit\(3\)"),
        ({"layers": NET.layer4}, "layers holds no names, but Sequential: give the layer's name, 'layer4'"),
        ({"layers": []}, "layers is empty: give at least one name"),
        ({"method": "grad"}, "method='grad' is not one of 'Grad-CAM'"),
        ({"images": IMAGES.byte()}, r"images of shape \(2, 3, 32, 32\), torch.uint8 on cpu: give them in"),
    ],
)
def test_cam_shows_the_way(value: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        cam(**({"model": NET, "images": IMAGES, "layers": "layer4", "score": SCORE} | value))


@pytest.mark.parametrize("score", [gradcam.logit(0), gradcam.contrast(0, 1), faithfulness.probability(0)])
@pytest.mark.parametrize("output", [(torch.rand(2, 5),), {"logits": torch.rand(2, 5)}, torch.rand(2, 5, 4, 4)])
def test_scores_of_what_is_no_logits(score: Callable[[Any], Tensor], output: Any) -> None:
    with pytest.raises(ValueError, match=r"the model gives .*, not \(B, classes\): make score a function of yours"):
        score(output)


def test_contrast_counts_classes_from_0() -> None:
    with pytest.raises(ValueError, match="first -1 to -1 of 5 outputs: count classes from 0"):
        gradcam.contrast(-1, 0)(torch.rand(2, 5))
    with pytest.raises(ValueError, match="second 5 to 5 of 5 outputs"):
        gradcam.contrast(0, 5)(torch.rand(2, 5))


def test_whole_numbers_of_every_kind_are_classes() -> None:
    output = torch.rand(2, 5)
    for classes in (3, np.int64(3), torch.tensor(3), [3, 3], np.array([3, 3], np.int32), torch.tensor([3, 3]).byte()):
        assert torch.equal(gradcam.logit(classes)(output), output[:, 3])  # type: ignore[arg-type]


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    expected = localize.above(MAPS, 0.5)
    assert torch.equal(localize.above(MAPS, np.float32(0.5)), expected)  # type: ignore[arg-type]
    assert torch.equal(localize.above(MAPS, torch.tensor(0.5)), expected)  # type: ignore[arg-type]
    assert torch.equal(localize.draws(4, np.int64(10)), localize.draws(4, 10))  # type: ignore[arg-type]


def test_score_that_gives_no_tensor_is_named() -> None:
    with pytest.raises(TypeError, match="score gave float"):
        cam(NET, IMAGES, "layer4", lambda output: 1.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="score gave float"):
        faithfulness.deletion(NET, IMAGES, MAPS, lambda output: 1.0)  # type: ignore[arg-type, return-value]


def test_errors_of_the_hardware_are_left_as_they_are() -> None:
    class Full(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        faithfulness.scores(Full(), IMAGES, SCORE)


def test_boxes_in_shares_of_the_side_and_no_maps() -> None:
    a = torch.tensor([0.0, 0.0, 0.2, 0.2])
    assert localize.box_iou(a, a).item() == 1  # its area is far below one pixel
    assert localize.box_of_map(MAPS[:0]).shape == (0, 4)
