"""Train a classifier: one function, `fit`, whose loop stands in the open, and what it keeps on disk.

Equal seeds give equal weights, bit for bit on one machine with one number of threads. So does a training that was
interrupted and went on: whatever is random in an epoch depends on the seed and the number of the epoch alone.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cbam_lite.checks import a_module, choose, function, number, output_of, positive_int, whole
from cbam_lite.training.batches import (
    Augmentation,
    batch,
    classes_of,
    cross_entropy,
    evaluate,
    one_for_each,
    same_classes,
    size_of,
)
from cbam_lite.training.settings import Loss, fingerprint, loss_of, name_of
from cbam_lite.training.store import History, Store

# ---- what is given --------------------------------------------------------------------------------------------------


def checked_device(device: torch.device | str | int | None) -> torch.device:
    """The device of that name; None takes CUDA where there is one."""
    try:
        found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device is None else device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:  # torch's words for unknown names and missing hardware
        raise ValueError(
            f"device={device!r} is not to be had here: use 'cpu', or 'cuda' with a GPU ({error})"
        ) from error
    return found


def checked_model(model: nn.Module) -> nn.Module:
    """The model, if there is a weight to train."""
    if not any(parameter.requires_grad for parameter in a_module("model", model).parameters()):
        raise ValueError(f"model: {type(model).__name__} has no weight to train: use model.requires_grad_()")
    return model


def augmented(augment: Augmentation | None, images: Tensor, g: Generator) -> Tensor:
    """The images of one step after `augment`."""
    if augment is None:
        return images
    try:
        changed = augment(images, g)
    except TypeError as error:
        raise TypeError(
            f"augment({tuple(images.shape)}, generator) failed: {error}. It gets a batch of images and a "
            "torch.Generator; a transform of torchvision takes the images only: augment=lambda images, g: "
            "transform(images), whose random numbers `fit` seeds in each epoch"
        ) from error
    if not isinstance(changed, Tensor) or changed.shape[:1] != images.shape[:1]:
        found = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(
            f"augment gave {found} for images {tuple(images.shape)}: it has to give as many images; a transform of "
            "torchvision takes the images only, augment=lambda images, g: transform(images)"
        )
    return changed


# ---- one step -------------------------------------------------------------------------------------------------------


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate at this step (from 0): up in a tenth of the steps, down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    images: Tensor,
    labels: Tensor,
    loss_of_batch: Loss = cross_entropy,
) -> tuple[float, int]:
    """Forward, backward, update; returns the loss and how many images were right. A loss that is no number raises."""
    dtype = torch.float16 if scaler.is_enabled() else torch.bfloat16
    with torch.autocast(images.device.type, dtype, enabled=images.is_cuda):
        logits = one_for_each(logits_of(model, images), len(images))
    loss = loss_of_batch(logits.float(), labels)
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()}")
    optimizer.zero_grad()
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.step(optimizer)
    scaler.update()
    return loss.item(), int((logits.argmax(1) == labels).sum())


def logits_of(model: nn.Module, images: Tensor) -> Any:
    """What the model gives in training, or an error that tells a batch of one image from other mistakes."""
    try:
        return output_of(model, images)
    except ValueError as error:
        if len(images) > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "a batch of 1 image has no spread for the batch norm behind a 1x1 map: choose batch_size so that the last "
            "batch of an epoch has at least 2 images, or give larger images"
        ) from error


# ---- all steps ------------------------------------------------------------------------------------------------------


def fit(
    model: nn.Module,
    train: Dataset[Any],
    valid: Dataset[Any] | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 1e-2,
    augment: Augmentation | None = None,
    class_weights: Sequence[float] | Literal["balanced"] | None = None,
    loss: Loss | None = None,
    keep: Literal["last", "best"] = "last",
    seed: int = 0,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a classifier with AdamW and cross-entropy; the learning rate rises linearly, then falls along a cosine.

    On CUDA the forward pass runs in bfloat16, or in float16 with a scaled loss where the GPU has no bfloat16; the
    weights stay float32, and cuDNN is asked for deterministic kernels.

    Args:
        model: (B, 3, H, W) -> (B, classes). It is changed in place, moved to `device`, and left in eval mode.
        train: `LabelledImages`, or any map-style data set of (image, label).
        valid: measured after each epoch, never trained on.
        epochs: passes over `train`, each in a new order.
        batch_size: images for one step. The last batch of an epoch may be smaller.
        lr: the highest learning rate.
        weight_decay: AdamW's.
        augment: called with each training batch and a `torch.Generator`, `flips` for example.
        class_weights: one number for each class, by which cross-entropy weighs its images; "balanced" takes N / (K n_k)
            for each of K classes with n_k of N images, so that a rare defect counts as much as the good parts. The
            probabilities then are those of classes that are equally frequent.
        loss: called with logits (B, classes) and labels (B,) instead of cross-entropy, for example
            ``nn.CrossEntropyLoss(label_smoothing=0.1)``. Validation keeps plain cross-entropy.
        keep: "last" leaves the weights of the last epoch in the model, "best" those of the epoch with the highest
            ``valid_accuracy``. The validation score of an epoch that was chosen so is a little too good.
        seed: of order, augmentation and dropout. The initial weights are those that the model has.
        device: None takes CUDA where there is one, else the CPU.
        checkpoint: a folder. It holds the state after the ``last`` epoch and the ``best`` weights; where it holds some
            already, training goes on from there, on the CPU bit for bit as if it had never stopped. It remembers hashes
            of both data sets, the class names and the other settings, and refuses to go on with others. Functions are
            known by their name only, and data sets that load their images late by kind and size. Needs safetensors.
        progress: show a bar, with the loss of the step and the last ``valid_accuracy``. Needs tqdm.

    Returns:
        `History`. The model holds the weights of the last epoch, or the best. After Ctrl-C it holds the best so far, by
        ``valid_accuracy``, or by ``train_loss`` without `valid`; then ``history.interrupted`` is True. From data with
        class names the model gets them as ``model.classes``, and `evaluate` refuses data with others.

    Raises:
        FloatingPointError: the loss or a weight became NaN or infinite. The model holds the best so far, and so does
            the checkpoint: weights that are no numbers are never kept.
        ValueError: labels do not fit the model, `train` and `valid` have other classes, a number is out of range, or
            the checkpoint is damaged or comes from a training with other settings, other data or another network.
        TypeError: an argument is of another kind, `train` is a `DataLoader`, or labels are not whole numbers.
        ImportError: tqdm or safetensors is missing and asked for.
        KeyboardInterrupt: Ctrl-C came before the first epoch was over.

    Example:
        >>> train, valid = make_defects(64), make_defects(32, seed=1)  # thousands, in earnest
        >>> history = fit(defect_net("CBAM"), train, valid, epochs=2, augment=flips)
        >>> history["epoch"]
        [1, 2]
    """
    N = size_of("train", train)
    if valid is not None:
        size_of("valid", valid)
        same_classes("train", train, "valid", valid)
    choose("keep", keep, ("last", "best"))
    loss_of_batch = loss_of(loss, class_weights, train)
    if augment is not None:
        function("augment", augment, "give one of images and a torch.Generator, flips for example")
    batches = math.ceil(N / positive_int("batch_size", batch_size))
    steps = batches * positive_int("epochs", epochs)
    lr, weight_decay = number("lr", lr), number("weight_decay", weight_decay, 0)
    if lr <= 0:
        raise ValueError(f"lr={lr} must be above 0: 3e-3 is a good first try for AdamW")
    seed = whole("seed", seed, -(2**48), 2**48)
    device = checked_device(device)
    optimizer = torch.optim.AdamW(checked_model(model).to(device).parameters(), lr, weight_decay=weight_decay)
    half = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    settings: dict[str, Any] = {"images": N, "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    settings |= {
        "weight_decay": weight_decay,
        "augment": name_of(augment),
        "loss": name_of(loss),
        "classes": classes_of(train),
    }
    settings |= {"class_weights": class_weights if isinstance(class_weights, str | None) else [*class_weights]}
    if checkpoint is not None:
        settings |= {"train": fingerprint(train), "valid": fingerprint(valid)}
    store = Store(checkpoint, model, optimizer, scaler, settings)
    history = store.resume()
    remember_classes(model, train)
    if len(history) == epochs:
        print(f"{checkpoint} holds all {epochs} epochs of this training: nothing is left to train.")
    elif len(history) and progress:
        print(f"{checkpoint} holds {len(history)} of {epochs} epochs of this training, which goes on from there.")

    with reproducible(device), bar(steps, history, batches, progress) as tick:
        try:
            for epoch in range(len(history) + 1, epochs + 1):
                torch.manual_seed(seed * 10_007 + epoch)  # for dropout
                g, start = Generator().manual_seed(seed * 10_007 + epoch), time.perf_counter()
                model.train()
                losses, right = 0.0, 0
                for step, index in enumerate(torch.split(torch.randperm(N, generator=g), batch_size)):
                    images, labels = batch(train, index, device)
                    images = augmented(augment, images, g)
                    rate = lr * schedule((epoch - 1) * batches + step, steps)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    of_step, right_here = training_step(model, optimizer, scaler, images, labels, loss_of_batch)
                    losses, right = losses + of_step * len(labels), right + right_here
                    tick(of_step)
                measured = (math.nan, math.nan) if valid is None else evaluate(model, valid)
                history.append(epoch, rate, losses / N, right / N, *measured, time.perf_counter() - start)
                store.keep(history)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} in epoch {epoch}, step {step + 1}, at a learning rate of {rate:.2g}: use a smaller lr than "
                f"{lr:g}, and look for values in the images that are no numbers. The model holds {store.restore()}"
            ) from None
        except KeyboardInterrupt:
            if not len(history):
                raise
            history.interrupted = True
            print(f"Stopped in epoch {len(history) + 1} of {epochs}. The model holds {store.restore()}")
    model.eval()
    if keep == "best" and not history.interrupted:
        store.restore()
    return history


def remember_classes(model: nn.Module, data: Dataset[Any]) -> None:
    """Put the class names of the data into the model, ``model.classes``: label 0 means the first of them."""
    names = classes_of(data)
    if names is not None:
        model.classes = names  # type: ignore[assignment]


@contextlib.contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Inside, cuDNN is deterministic; afterwards the global random numbers go on as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield


@contextlib.contextmanager
def bar(steps: int, history: History, batches: int, shown: bool) -> Iterator[Callable[[float], None]]:
    """A progress bar over all steps; what it yields is called with the loss of each."""
    if not shown:
        yield lambda loss: None
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("the progress bar needs tqdm: pip install tqdm, or use progress=False") from error
    with tqdm(total=steps, initial=len(history) * batches, unit="step") as shown_bar:

        def tick(loss: float) -> None:
            valid = history["valid_accuracy"][-1:]  # of the last epoch, once there is one
            said = {"valid": f"{valid[0]:.3f}"} if valid and not math.isnan(valid[0]) else {}
            shown_bar.set_postfix(loss=f"{loss:.3f}", **said, refresh=False)
            shown_bar.update()

        yield tick
