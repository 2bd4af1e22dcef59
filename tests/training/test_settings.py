"""What a training is of: other data, other classes or another loss are never mistaken for the same."""

import functools
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from cbam_lite import LabelledImages, evaluate, fit, flips, load_checkpoint, predict, shifts_and_mirrors
from cbam_lite.training import loop
from cbam_lite.training.settings import balanced, fingerprint, labels_of, loss_of, name_of
from cbam_lite.training.store import History, Store

OPTIONS = {"epochs": 2, "batch_size": 8, "lr": 1e-2, "progress": False}


def pictures(classes: tuple[str, ...] = ("dark", "bright"), n: int = 16, seed: int = 0) -> LabelledImages:
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 128, (n, 3, 8, 8), generator=Generator().manual_seed(seed))
    return LabelledImages((noise + 127 * labels[:, None, None, None]).byte(), labels, classes)


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


# ---- classes (row A 1: a folder that holds only some classes renumbers the labels) -----------------------------------


def test_a1_training_and_validation_of_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train has the classes \['dark', 'bright'\], valid has \['bright', 'dark'\]"):
        fit(small_net(), pictures(), pictures(("bright", "dark")), **OPTIONS)


def test_a1_a_trained_model_knows_its_classes() -> None:
    model = small_net()
    fit(model, pictures(), **OPTIONS)
    assert model.classes == ["dark", "bright"]
    assert evaluate(model, pictures(seed=1))[1] >= 0.5
    for ask in (evaluate, predict):
        with pytest.raises(ValueError, match=r"load the images with classes=\['dark', 'bright'\]"):
            ask(model, pictures(("bright", "dark")))
    pairs = TensorDataset(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64))
    assert len(predict(model, pairs)[0]) == 4  # no names, nothing to compare


# ---- checkpoints (row A 2: a checkpoint folder answers for other data) -----------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": "labels"}, "other images or labels in train"),
        ({"train": "images"}, "other images or labels in train"),
        ({"valid": None}, "other images or labels in valid"),
        ({"augment": shifts_and_mirrors}, "augment 'flips' there, 'shifts_and_mirrors' here"),
        ({"class_weights": "balanced"}, "class_weights None there, 'balanced' here"),
        ({"class_weights": [1.0, 2.0]}, r"class_weights None there, \[1.0, 2.0\] here"),
        ({"loss": nn.CrossEntropyLoss()}, r"loss 'none' there, 'CrossEntropyLoss\(\)' here"),
        ({"classes": ("b", "a")}, r"classes \['dark', 'bright'\] there, \['b', 'a'\] here"),
    ],
)
def test_a2_a_checkpoint_answers_for_its_own_training_only(change: dict, said: str, tmp_path: Path) -> None:
    fit(small_net(), pictures(), pictures(seed=1), augment=flips, checkpoint=tmp_path, **OPTIONS)
    train, valid = pictures(change.pop("classes", ("dark", "bright"))), pictures(seed=1)
    if "valid" in change or train.classes[0] == "b":
        valid = change.pop("valid", None)
    what = change.pop("train", None)
    if what == "labels":
        train = LabelledImages(train.images, 1 - train.labels, train.classes)
    if what == "images":
        train.images[3, 0, 0, 0] += 1
    with pytest.raises(ValueError, match=said):
        fit(small_net(), train, valid, checkpoint=tmp_path, **(OPTIONS | {"augment": flips} | change))


def test_a2_the_same_call_is_accepted_again(tmp_path: Path) -> None:
    for _ in range(2):
        options = {"class_weights": (1.0, 2.0), "augment": functools.partial(shifts_and_mirrors, pixels=1)}
        history = fit(small_net(), pictures(), pictures(seed=1), checkpoint=tmp_path, **options, **OPTIONS)
    assert len(history) == 2


def test_a_checkpoint_remembers_every_setting(tmp_path: Path) -> None:
    train, valid = pictures(), pictures(seed=1)
    options = {"epochs": 1, "batch_size": 8, "lr": 0.01, "weight_decay": 0.5, "seed": 3}
    functions = {"augment": flips, "loss": nn.CrossEntropyLoss()}
    fit(small_net(), train, valid, checkpoint=tmp_path, progress=False, **functions, **options)
    facts = load_checkpoint(tmp_path, "last")[1]
    assert torch.cuda.is_available() or facts["scaler"] == {}, "nothing is scaled on a CPU"
    assert facts["settings"] == options | {
        "images": 16,
        "augment": "flips",
        "loss": "CrossEntropyLoss()",
        "classes": ["dark", "bright"],
        "class_weights": None,
        "train": fingerprint(train),
        "valid": fingerprint(valid),
    }


def test_what_is_not_said_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(small_net(), pictures(n=66), epochs=2, checkpoint=tmp_path)
    stored = load_checkpoint(tmp_path, "last")[1]["settings"]
    expected = {"batch_size": 64, "lr": 3e-3, "weight_decay": 1e-2, "seed": 0, "augment": "none", "valid": "none"}
    assert expected.items() <= stored.items()
    assert "4/4" in capsys.readouterr().err, "a bar over 2 epochs of 64 and 2 images"


def test_seeds_of_48_bits_are_taken_and_no_others() -> None:
    for seed in (2**48, -(2**48)):
        assert len(fit(small_net(), pictures(), seed=seed, **OPTIONS | {"epochs": 1})) == 1
        with pytest.raises(ValueError, match="seed="):
            fit(small_net(), pictures(), seed=2 * seed, **OPTIONS)


def test_epochs_of_neighbouring_seeds_are_not_shared() -> None:
    """Epoch 2 of one seed is no epoch 1 of the next: their orders differ."""
    firsts: dict[tuple[int, int], Tensor] = {}
    for seed in (0, 1):
        seen: list[Tensor] = []

        def watch(images: Tensor, g: Generator, seen: list[Tensor] = seen) -> Tensor:
            seen.append(images)
            return images

        fit(small_net(), pictures(), seed=seed, augment=watch, **OPTIONS | {"batch_size": 16})
        firsts |= {(seed, epoch): images for epoch, images in enumerate(seen)}
    assert len({images.numpy().tobytes() for images in firsts.values()}) == 4


def test_a_training_that_goes_on_says_so_where_progress_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(images: Tensor, g: Generator) -> Tensor:
        if len(seen := stops) >= 3:
            raise KeyboardInterrupt
        seen.append(1)
        return images

    stops: list[int] = []
    stop.__qualname__ = "flips"
    fit(small_net(), pictures(), augment=stop, checkpoint=tmp_path, **OPTIONS)
    capsys.readouterr()
    fit(small_net(), pictures(), augment=flips, checkpoint=tmp_path, **OPTIONS | {"progress": True})
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path} holds 1 of 2 epochs of this training, which goes on from there.\n"
    assert "4/4" in captured.err, "the bar goes on, too"


def test_a_seed_means_the_same_for_ever() -> None:
    """Published scores name their seed, so it must go on to give the same order, flips and dropout in each epoch."""
    seen: list[tuple[int, int, float]] = []

    def watch(images: Tensor, g: Generator) -> Tensor:
        seen.append((torch.initial_seed(), g.initial_seed(), torch.rand(1, generator=g).item()))
        return images

    fit(small_net(), pictures(), seed=3, augment=watch, **OPTIONS | {"batch_size": 16})
    assert [numbers[:2] for numbers in seen] == [(30022, 30022), (30023, 30023)]
    after = [torch.empty(0), torch.empty(0)]
    for number, (of_epoch, _, _) in enumerate(seen):
        g = Generator().manual_seed(of_epoch)
        torch.randperm(16, generator=g)
        after[number] = torch.rand(1, generator=g)
    assert [numbers[2] for numbers in seen] == [value.item() for value in after], "first the order, then the flips"


def test_inside_of_a_training_cudnn_repeats_itself() -> None:
    def flags() -> tuple[bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return cudnn.enabled, cudnn.benchmark, cudnn.deterministic

    def watch(images: Tensor, g: Generator) -> Tensor:
        seen.append(flags())
        return images

    seen: list[tuple[bool, bool, bool]] = []
    before = flags()
    fit(small_net(), pictures(), augment=watch, **OPTIONS | {"epochs": 1})
    assert set(seen) == {(True, False, True)}
    assert flags() == before


def test_half_precision_is_asked_for_on_a_gpu_only_and_in_the_dtype_that_the_scaler_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, enabled: asked.append((device, dtype, enabled)))
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **options: supported)
        for device in ("cpu", "cuda"):
            loop.autocast(torch.device(device))
        assert loop.in_half(torch.device("cuda")) != supported  # then the loss is scaled
    half = [("cuda", torch.bfloat16, True), ("cuda", torch.float16, True)]
    assert asked == [("cpu", torch.bfloat16, False), half[0], ("cpu", torch.bfloat16, False), half[1]]


def test_an_epoch_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 101.5, 200.0, 204.0])
    monkeypatch.setattr("cbam_lite.training.loop.time.perf_counter", lambda: next(times))
    assert fit(small_net(), pictures(), **OPTIONS)["seconds"] == [1.5, 4.0]


def test_fingerprints() -> None:
    data, pairs = pictures(), TensorDataset(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert fingerprint(data) == fingerprint(pictures()) != fingerprint(pictures(("a", "b")))
    assert fingerprint(pairs) != fingerprint(TensorDataset(torch.zeros(2, 3, 1), torch.tensor([0, 1])))
    assert fingerprint(pairs) != fingerprint(TensorDataset(torch.zeros(2, 3), torch.tensor([1, 0])))
    assert fingerprint(None) == "none"

    class Late(Dataset):
        def __len__(self) -> int:
            return 7

    assert fingerprint(Late()).endswith("Late of 7")


def test_names_of_functions() -> None:
    assert name_of(None) == "none"
    assert name_of(flips) == "flips"
    assert name_of(functools.partial(shifts_and_mirrors, pixels=2)) == "shifts_and_mirrors(pixels=2)"
    assert name_of(nn.ReLU()) == "ReLU()"
    assert name_of(pytest.approx(1)) == type(pytest.approx(1)).__qualname__  # an object that can be called, or not


# ---- the loss --------------------------------------------------------------------------------------------------------


def test_balanced_weights_give_each_class_that_occurs_the_same_sum() -> None:
    labels = torch.tensor([0] * 6 + [2] * 2)
    weights = balanced(labels)
    torch.testing.assert_close(weights, torch.tensor([8 / 12, 0.0, 8 / 4]))
    assert weights[labels].sum() == 8
    loss = loss_of(None, "balanced", TensorDataset(torch.zeros(8, 1), labels))
    logits = torch.randn(8, 4)  # a class more than ever occurs
    expected = nn.functional.cross_entropy(logits, labels, torch.tensor([8 / 12, 0, 2, 0]))
    torch.testing.assert_close(loss(logits, labels), expected)


def test_given_weights_and_a_loss_of_ones_own() -> None:
    data, logits, labels = pictures(), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    weighted = nn.functional.cross_entropy(logits, labels, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(loss_of(None, [1, 3], data)(logits, labels), weighted)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    torch.testing.assert_close(loss_of(smooth, None, data)(logits, labels), smooth(logits, labels))


def test_the_loss_reaches_the_weights() -> None:
    models = [small_net() for _ in range(3)]
    fit(models[0], pictures(), **OPTIONS)
    fit(models[1], pictures(), class_weights=[1, 9], **OPTIONS)
    fit(models[2], pictures(), loss=lambda logits, labels: 0 * logits.sum(), **OPTIONS | {"weight_decay": 0})
    assert not torch.equal(models[0][0].weight, models[1][0].weight)
    assert torch.equal(models[2][0].weight, small_net()[0].weight)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"class_weights": "equal"}, ValueError, "must be 'balanced' or one number for each class"),
        ({"class_weights": [1, 2, 3]}, ValueError, "3 class weights for 2 outputs of the model: give 2"),
        ({"class_weights": [1, -2]}, ValueError, r"class_weights\[1\]=-2 is outside"),
        ({"class_weights": [1, 2], "loss": nn.CrossEntropyLoss()}, ValueError, "loss and class_weights are both given"),
        ({"loss": "focal"}, TypeError, "loss must be a function"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError, r"loss gave \(8,\) for 8 images"),
        ({"keep": "all"}, ValueError, "keep='all' is not one of 'last', 'best'"),
    ],
)
def test_errors_name_the_fix(options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit(small_net(), pictures(), **OPTIONS, **options)


def test_balanced_needs_labels_that_are_known() -> None:
    class Late(Dataset):
        def __len__(self) -> int:
            return 4

    with pytest.raises(ValueError, match="Late has no `targets`: give the weights"):
        labels_of(Late())
    late = Late()
    late.targets = [0, 1, 1, 0]
    assert labels_of(late).tolist() == [0, 1, 1, 0]


# ---- the best epoch --------------------------------------------------------------------------------------------------


def test_keep_best_leaves_the_best_epoch_in_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([(0.1, 0.6), (0.1, 0.9), (0.1, 0.7)] * 2)
    monkeypatch.setattr("cbam_lite.training.train.evaluate", lambda model, data: next(scores))
    states = []

    def watch(images: Tensor, g: Generator) -> Tensor:
        states.append({name: values.clone() for name, values in model.state_dict().items()})
        return images

    options = OPTIONS | {"epochs": 3, "batch_size": 16, "augment": watch}  # one step in each epoch
    model = small_net()
    history = fit(model, pictures(), pictures(seed=1), keep="best", **options)
    assert history.best_epoch == 2
    assert not model.training
    assert all(torch.equal(values, states[2][name]) for name, values in model.state_dict().items())
    model = small_net()
    fit(model, pictures(), pictures(seed=1), **options)
    assert not torch.equal(model[0].weight, states[2]["0.weight"])


def test_the_best_epoch_without_validation_has_the_lowest_loss() -> None:
    history = fit(small_net(), pictures(), **OPTIONS | {"epochs": 3})
    assert history.best_epoch == 1 + history["train_loss"].index(min(history["train_loss"]))


# ---- what is fed -----------------------------------------------------------------------------------------------------


def test_a11_floats_from_0_to_255_are_refused() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"images of the data set run from .* to .*: divide them by 255"):
        predict(small_net(), TensorDataset(images * 255, labels))
    predict(small_net(), TensorDataset(images, labels))
    predict(small_net(), TensorDataset(images * 60 - 30, labels))  # scaled by a spread: such have negative values


@pytest.mark.parametrize("transform", [lambda images: images, nn.Identity()])
def test_a12_a_transform_without_a_generator_is_explained(transform) -> None:
    with pytest.raises(TypeError, match="augment=lambda images, g: transform"):
        fit(small_net(), pictures(), augment=transform, **OPTIONS)


def test_the_bar_shows_the_last_validation(capsys: pytest.CaptureFixture[str]) -> None:
    fit(small_net(), pictures(), pictures(seed=1), **OPTIONS | {"progress": True})
    shown = capsys.readouterr().err
    assert re.search(r"loss=\d\.\d{3}, valid=\d\.\d{3}\b", shown)
    assert re.search(r"step/s|s/step", shown)


def test_names_and_kinds_are_said() -> None:
    assert name_of(functools.partial(shifts_and_mirrors, 2, pixels=3)) == "shifts_and_mirrors(2, pixels=3)"
    with pytest.raises(ValueError, match=r"^loss gave float for 8 images"):
        fit(small_net(), pictures(), loss=lambda logits, labels: 0.5, **OPTIONS)


def test_without_validation_the_store_keeps_the_lowest_loss() -> None:
    model, history = small_net(), History()
    store = Store(None, model, torch.optim.AdamW(model.parameters()), torch.amp.GradScaler("cpu", enabled=False), {})
    for epoch, loss in enumerate((3.0, 1.0, 2.0), 1):
        history.append(epoch, 0.1, loss, 0.5, math.nan, math.nan, 1.0)
        store.keep(history)
    assert (store.best_epoch, history.best_epoch) == (2, 2)
