"""`fit`: it learns, repeats itself, resumes bit for bit, keeps the best on Ctrl-C, and stops at a loss that is NaN."""

import functools
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import TensorDataset

from cbam_lite import (
    CBAM,
    LabelledImages,
    defect_net,
    evaluate,
    fit,
    flips,
    load_checkpoint,
    make_defects,
    predict,
    save_checkpoint,
    shifts_and_mirrors,
)
from cbam_lite.training.batches import batch, cross_entropy
from cbam_lite.training.loop import schedule, update
from cbam_lite.training.store import History, Store
from cbam_lite.training.train import loss_and_right

State = dict[str, Tensor]


def bright_or_dark(n: int = 48, size: int = 8, seed: int = 0) -> LabelledImages:
    """A task that is learnt in seconds: is the picture bright?"""
    g = Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.randint(0, 128, (n, 3, size, size), generator=g) + 127 * labels[:, None, None, None]
    return LabelledImages(images.byte(), labels, ("dark", "bright"))


def small_net(seed: int = 0) -> nn.Module:
    """With everything that has a state or draws random numbers: batch norm, attention, dropout."""
    torch.manual_seed(seed)
    head = [nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 16, 2)]
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), CBAM(8, 2), *head)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name].cpu(), b[name].cpu()) for name in a)


def interrupting(at: int, what: Callable[[], object]) -> Callable[[Tensor, Generator], Tensor]:
    """An augmentation that mirrors, and does `what` at its call number `at`."""
    calls = iter(range(1, 10**6))

    @functools.wraps(flips)  # a checkpoint knows an augmentation by its name
    def augment(images: Tensor, g: Generator) -> Tensor:
        if next(calls) == at:
            what()
        return flips(images, g)

    return augment


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Python does not listen to Ctrl-C where it was started in the background, as `nohup make test &` does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


OPTIONS = {"epochs": 4, "batch_size": 16, "lr": 1e-2, "progress": False}  # 3 batches in each epoch


# ---- learning -------------------------------------------------------------------------------------------------------


def test_it_learns(device: torch.device) -> None:
    model, data, unseen = small_net(), bright_or_dark(), bright_or_dark(seed=1)
    history = fit(model, data, unseen, epochs=8, batch_size=16, lr=1e-2, device=device, progress=False)
    assert history["train_loss"][-1] < 0.3 * history["train_loss"][0]
    assert history["valid_accuracy"][-1] == evaluate(model, unseen)[1] > 0.95
    assert history["valid_loss"][-1] == pytest.approx(evaluate(model, unseen)[0])
    assert history["epoch"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not history.interrupted
    assert not model.training


def test_a_network_learns_to_tell_defects(device: torch.device) -> None:
    easy = {"contrast": 2.0, "scale": 1.5, "clutter": 0, "material": "glazed tile"}
    torch.manual_seed(0)
    net = defect_net("CBAM")
    fit(net, make_defects(512, **easy), epochs=3, batch_size=32, device=device, progress=False)  # type: ignore[arg-type]
    assert evaluate(net, make_defects(256, seed=1, **easy))[1] > 0.3  # chance is 1 / 7  # type: ignore[arg-type]


def test_one_step_is_adamw_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    data = bright_or_dark(16)
    twin = nn.Linear(3 * 64, 2)
    twin.load_state_dict(model[1].state_dict())
    fit(model, data, epochs=1, batch_size=16, lr=0.1, weight_decay=0.0, progress=False)
    nn.functional.cross_entropy(twin(data.images.flatten(1) / 255), data.labels).backward()
    assert twin.weight.grad is not None
    expected = twin.weight - 0.1 * twin.weight.grad / (twin.weight.grad.abs() + 1e-8)  # Adam's first step
    assert torch.allclose(model[1].weight, expected, atol=1e-5)


def test_without_validation_images_the_columns_say_nan() -> None:
    history = fit(small_net(), bright_or_dark(), **OPTIONS)  # type: ignore[arg-type]
    assert all(math.isnan(value) for value in history["valid_accuracy"] + history["valid_loss"])


def test_any_data_set_of_images_and_labels() -> None:
    data = bright_or_dark(20)
    plain = TensorDataset(data.images / 255, data.labels)
    states = []
    for train in (data, plain):
        model = small_net()
        fit(model, train, train, **OPTIONS)  # type: ignore[arg-type]
        states.append(model.state_dict())
    assert same(*states)


def test_schedule_rises_then_falls() -> None:
    shares = [schedule(step, 100) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert shares[10] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[55] == pytest.approx(0.5)
    assert 0 < shares[-1] < 0.001
    assert schedule(0, 1) == 1.0


# ---- repeating ------------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_weights(device: torch.device) -> None:
    states = []
    for seed in (5, 5, 6):
        model = small_net()
        fit(model, bright_or_dark(), augment=flips, seed=seed, device=device, **OPTIONS)  # type: ignore[arg-type]
        states.append(model.state_dict())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_global_random_numbers_are_left_alone() -> None:
    model, state = small_net(), torch.get_rng_state()
    fit(model, bright_or_dark(), augment=flips, **OPTIONS)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("step", [4, 6, 7, 12])  # in the second, third and last epoch; first and last batches
def test_resume_goes_on_bit_for_bit(step: int, tmp_path: Path) -> None:
    data, unseen = bright_or_dark(), bright_or_dark(seed=1)
    straight = small_net()
    whole = fit(straight, data, unseen, augment=flips, checkpoint=tmp_path / "a", **OPTIONS)  # type: ignore[arg-type]

    def power_fails() -> None:
        raise OSError("the power failed")

    stopped = small_net()
    with pytest.raises(OSError, match="power"):
        fit(stopped, data, unseen, augment=interrupting(step, power_fails), checkpoint=tmp_path / "b", **OPTIONS)  # type: ignore[arg-type]
    other = small_net(seed=99)  # the checkpoint has all that counts
    resumed = fit(other, data, unseen, augment=flips, checkpoint=tmp_path / "b", **OPTIONS)  # type: ignore[arg-type]
    assert same(straight.state_dict(), other.state_dict())
    for name in set(whole.columns) - {"seconds"}:
        assert whole[name] == resumed[name], name


def test_a_finished_training_is_not_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = small_net(), bright_or_dark()
    first = fit(model, data, data, augment=flips, checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    other = small_net(seed=99)
    capsys.readouterr()
    second = fit(other, data, data, augment=interrupting(1, press_ctrl_c), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    assert second.columns == first.columns
    assert same(model.state_dict(), other.state_dict())
    said = f"{tmp_path} holds all 4 epochs of this training: nothing is left to train.\n"
    assert capsys.readouterr().out == said


def test_checkpoint_of_other_settings(tmp_path: Path) -> None:
    fit(small_net(), bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"other settings, lr 0\.01 there, 0\.02 here: use what it was"):
        fit(small_net(), bright_or_dark(), checkpoint=tmp_path, **(OPTIONS | {"lr": 0.02}))  # type: ignore[arg-type]


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    fit(small_net(), bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    for other in (defect_net(), nn.Sequential(*small_net()[:-1], nn.Linear(8 * 16, 5))):
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(
            ValueError, match=r"another network: .* is .* there and .* here; use the network it was made"
        ):
            fit(other, bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
        assert same(other.state_dict(), before)


# ---- stopping -------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, unseen = bright_or_dark(), bright_or_dark(seed=1)
    model = small_net()
    history = fit(model, data, unseen, augment=interrupting(8, press_ctrl_c), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    assert history.interrupted
    assert len(history) == 2
    best = max(history["valid_accuracy"])
    assert evaluate(model, unseen)[1] == best
    assert not model.training
    said = capsys.readouterr().out
    assert "Stopped in epoch 3 of 4. The model holds the best so far, those of epoch" in said
    assert "the same call goes on from there" in said
    again = fit(model, data, unseen, augment=flips, checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    assert len(again) == 4


def test_best_is_not_always_last(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.5, 0.9, 0.7])
    states: list[State] = []

    def judged(model: nn.Module, _: object) -> tuple[float, float]:
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return 1.0, next(accuracies)

    monkeypatch.setattr("cbam_lite.training.train.evaluate", judged)
    model, data = small_net(), bright_or_dark()
    fit(model, data, data, augment=interrupting(10, press_ctrl_c), **OPTIONS)  # type: ignore[arg-type]
    assert same(model.state_dict(), states[1])


def test_ctrl_c_before_the_first_epoch_is_over() -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(small_net(), bright_or_dark(), augment=interrupting(2, press_ctrl_c), **OPTIONS)  # type: ignore[arg-type]


def test_a_loss_that_is_no_number() -> None:
    model, kept = small_net(), []

    def spoil() -> None:
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        nn.init.constant_(model[-1].weight, math.nan)

    with pytest.raises(FloatingPointError, match=r"nan in epoch 2, step 1, at a .* smaller lr than 0.01.* epoch 1\."):
        fit(model, bright_or_dark(), augment=interrupting(4, spoil), **OPTIONS)  # type: ignore[arg-type]
    assert same(model.state_dict(), kept[0])


def test_a_rate_that_is_far_too_high() -> None:
    model = small_net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(FloatingPointError, match="The model holds its initial weights"):
        fit(model, bright_or_dark(), epochs=2, batch_size=16, lr=1e30, progress=False)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"epochs": 0}, ValueError, "epochs=0 must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be a whole number"),
        ({"lr": 0}, ValueError, "lr=0 must be above 0"),
        ({"lr": math.nan}, ValueError, "lr=nan must be a finite number"),
    ],
)
def test_errors_name_the_fix(options: dict[str, float], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit(small_net(), bright_or_dark(), **(OPTIONS | options))  # type: ignore[arg-type]


def test_labels_that_the_model_has_no_output_for() -> None:
    data = LabelledImages(bright_or_dark(4).images, torch.tensor([0, 1, 2, 3]), ("a", "b", "c", "d"))
    with pytest.raises(ValueError, match=r"labels run from 0 to 3, but the model has 2 outputs: .*num_classes=4"):
        fit(small_net(), data, **OPTIONS)  # type: ignore[arg-type]


def test_no_images() -> None:
    empty = make_defects(8).take(slice(0))
    with pytest.raises(ValueError, match="the data set is empty"):
        fit(defect_net(), empty, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the data set is empty"):
        predict(defect_net(), empty)


# ---- predicting and augmenting --------------------------------------------------------------------------------------


def test_predict_runs_in_eval_mode_and_puts_the_mode_back(device: torch.device) -> None:
    model, data = small_net().to(device), bright_or_dark(20)
    model.train()
    model[1].eval()  # a frozen batch norm
    logits, labels = predict(model, data, batch_size=7)
    assert model.training
    assert not model[1].training
    assert torch.equal(labels, data.labels)
    with torch.no_grad():
        assert torch.allclose(logits, model.eval()(data.images.to(device) / 255).cpu(), atol=1e-5)


def test_batch_is_float_and_in_order() -> None:
    data = bright_or_dark(10)
    images, labels = batch(data, torch.tensor([7, 2]))
    assert torch.equal(images, data.images[[7, 2]] / 255)
    assert labels.tolist() == [1, 0]


def test_flips_show_each_of_four_views() -> None:
    image = torch.arange(12.0).view(1, 3, 2, 2)
    views = [image, image.flip(2), image.flip(3), image.flip(2, 3)]
    flipped = flips(image.expand(400, -1, -1, -1), Generator().manual_seed(0))
    counts = [sum(torch.equal(one, view[0]) for one in flipped) for view in views]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_shifts_are_crops_of_the_padded_image() -> None:
    images = torch.rand(50, 3, 9, 7)
    moved = shifts_and_mirrors(images, Generator().manual_seed(0), pixels=2)
    padded = nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, result in zip(padded, moved, strict=True):
        crops = {(top, left): image[:, top : top + 9, left : left + 7] for top in range(5) for left in range(5)}
        found = [(place, turned) for place, crop in crops.items() for turned in (False, True)
                 if torch.equal(result, crop.flip(2) if turned else crop)]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 25  # of 50 possible


# ---- what it can use ------------------------------------------------------------------------------------------------


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    fit(small_net(), bright_or_dark(), **(OPTIONS | {"progress": True}))  # type: ignore[arg-type]
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "loss=" in shown


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="pip install tqdm, or use progress=False"):
        fit(small_net(), bright_or_dark(), **(OPTIONS | {"progress": True}))  # type: ignore[arg-type]
    assert len(fit(small_net(), bright_or_dark(), **OPTIONS)) == 4  # type: ignore[arg-type]


def test_a_step_skips_no_image_and_updates_once() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    images, labels = batch(bright_or_dark(6), torch.arange(6))
    before, logits = model[1].bias.detach().clone(), model(images)
    loss_here, right = loss_and_right(model, images, labels, cross_entropy)
    loss = update(optimizer, torch.amp.GradScaler("cpu", enabled=False), loss_here)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert right == int((logits.argmax(1) == labels).sum())
    gradient = (logits.softmax(1) - nn.functional.one_hot(labels, 2)).mean(0)
    assert torch.allclose(model[1].bias, before - 0.5 * gradient, atol=1e-6)


def test_history_says_what_counts() -> None:
    history = fit(small_net(), bright_or_dark(), bright_or_dark(), **OPTIONS)  # type: ignore[arg-type]
    assert repr(history).startswith("History of 4 epochs in ")
    assert f"valid_accuracy {history['valid_accuracy'][-1]:.3f}" in repr(history)
    history.interrupted = True
    assert ", interrupted; the last" in repr(history)
    assert repr(type(history)()) == "History of no epoch"


# ---- what a small change would move ---------------------------------------------------------------------------------


def judging(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> list[State]:
    """Validation with these accuracies; the states that were judged."""
    states: list[State] = []
    given = iter(accuracies)

    def judged(model: nn.Module, _: object) -> tuple[float, float]:
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return 1.0, next(given)

    monkeypatch.setattr("cbam_lite.training.train.evaluate", judged)
    return states


def test_names_in_the_checkpoints(tmp_path: Path) -> None:
    model = small_net()
    fit(model, bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    last, best = (load_checkpoint(tmp_path, name)[0] for name in ("last", "best"))
    weights = {name.removeprefix("model."): value for name, value in last.items() if name.startswith("model.")}
    assert same(weights, model.state_dict())
    assert best.keys() == weights.keys()
    assert {name.split(".")[0] for name in last} == {"model", "optimizer"}


def test_the_loss_of_an_epoch_counts_every_image_once() -> None:
    model, data = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), bright_or_dark(5)
    expected = evaluate(model, data)
    history = fit(model, data, epochs=1, batch_size=4, lr=1e-12, weight_decay=0, progress=False)
    assert history["train_loss"] == [pytest.approx(expected[0], rel=1e-6)]
    assert history["train_accuracy"] == [expected[1]]


def test_history_has_the_learning_rate_of_the_last_step() -> None:
    history = fit(small_net(), bright_or_dark(), **OPTIONS)  # type: ignore[arg-type]
    assert history["lr"] == [1e-2 * schedule(step, 12) for step in (2, 5, 8, 11)]


def test_a_resumed_training_remembers_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states, data = judging(monkeypatch, [0.9, 0.5, 0.6]), bright_or_dark()
    fit(small_net(), data, data, augment=interrupting(7, press_ctrl_c), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    model = small_net(seed=9)
    fit(model, data, data, augment=interrupting(4, press_ctrl_c), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    assert len(states) == 3
    assert same(model.state_dict(), states[0])
    assert capsys.readouterr().out.count("those of epoch 1.") == 2
    assert load_checkpoint(tmp_path, "best")[1]["epoch"] == 1


def test_of_equal_epochs_the_first_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    states, data, model = judging(monkeypatch, [0.5, 0.5, 0.5]), bright_or_dark(), small_net()
    fit(model, data, data, augment=interrupting(10, press_ctrl_c), **OPTIONS)  # type: ignore[arg-type]
    assert same(model.state_dict(), states[0])


def test_a_restored_model_is_in_eval_mode() -> None:
    model = small_net()
    with pytest.raises(FloatingPointError):
        fit(model, bright_or_dark(), epochs=2, batch_size=16, lr=1e30, progress=False)
    assert not any(module.training for module in model.modules())


def test_the_scaler_is_restored(tmp_path: Path) -> None:
    model = small_net()
    optimizer = torch.optim.AdamW(model.parameters())
    history = History()
    history.append(1, 0.1, 0.5, 0.5, math.nan, math.nan, 1.0)
    Store(tmp_path, model, optimizer, torch.amp.GradScaler("cpu", init_scale=8.0), {}).keep(history)
    scaler = torch.amp.GradScaler("cpu")
    Store(tmp_path, model, optimizer, scaler, {}).resume(History())
    assert scaler.state_dict()["scale"] == 8


def test_a_label_equal_to_the_number_of_outputs() -> None:
    for labels in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="but the model has 2 outputs"):
            cross_entropy(torch.zeros(2, 2), torch.tensor(labels))
    assert cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(math.log(2))


# ---- a training that diverged, and checkpoints of something else -----------------------------------------------------


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path) -> None:
    model, data = small_net(), bright_or_dark()

    def spoil() -> None:
        model[-1].bias.register_hook(lambda grad: grad * math.inf)  # after the loss of the last step of epoch 2

    with pytest.raises(FloatingPointError, match=r"6\.bias holds NaN or infinity in epoch 2, step 3.* of epoch 1\."):
        fit(model, data, augment=interrupting(6, spoil), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    for tensors, facts in (load_checkpoint(tmp_path, name) for name in ("last", "best")):
        assert len(facts["history"]["epoch"]) == 1
        assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_training_that_diverged_is_not_loaded(tmp_path: Path, name: str) -> None:
    fit(small_net(), bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    tensors, facts = load_checkpoint(tmp_path, name)
    bias = "model.6.bias" if name == "last" else "6.bias"
    facts = {key: value for key, value in facts.items() if key not in ("tensors", "sha256")}
    save_checkpoint(tmp_path, name, tensors | {bias: torch.full((2,), math.nan)}, facts)
    model = small_net(seed=3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"a training that diverged, 6\.bias has NaN or infinity: use another folder"):
        fit(model, bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]
    assert same(model.state_dict(), before)


def test_a_buffer_that_is_infinite_on_purpose_does_no_harm(tmp_path: Path) -> None:
    model = small_net()
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert len(fit(model, bright_or_dark(), checkpoint=tmp_path, **OPTIONS)) == 4  # type: ignore[arg-type]
    assert len(fit(model, bright_or_dark(), checkpoint=tmp_path, **OPTIONS)) == 4  # type: ignore[arg-type]


def test_checkpoints_that_fit_did_not_write(tmp_path: Path) -> None:
    for name in ("last", "best"):
        save_checkpoint(tmp_path, name, small_net().state_dict(), {"epoch": 1})
    with pytest.raises(ValueError, match="holds checkpoints that `fit` did not write: use another folder"):
        fit(small_net(), bright_or_dark(), checkpoint=tmp_path, **OPTIONS)  # type: ignore[arg-type]


def test_an_augmentation_that_changes_the_number_of_images_is_named_with_both_shapes() -> None:
    few = {**OPTIONS, "augment": lambda images, g: images[:1]}
    with pytest.raises(ValueError, match=r"augment gave \(1, 3, 8, 8\) for images \(16, 3, 8, 8\)"):
        fit(small_net(), bright_or_dark(), **few)  # type: ignore[arg-type]
    listed = {**OPTIONS, "augment": lambda images, g: list(images)}
    with pytest.raises(ValueError, match="augment gave list for images"):
        fit(small_net(), bright_or_dark(), **listed)  # type: ignore[arg-type]
