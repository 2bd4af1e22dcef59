"""Train a classifier: one function, `fit`, whose loop stands in the open, and what it keeps on disk.

Equal seeds give equal weights, bit for bit on one machine with one number of threads. So does a training that was
interrupted and went on: whatever is random in an epoch depends on the seed and the number of the epoch alone.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cbam_lite.checks import positive_int
from cbam_lite.training.batches import Augmentation, batch, cross_entropy, evaluate, size_of
from cbam_lite.training.store import History, Store

# ---- one step -------------------------------------------------------------------------------------------------------


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate at this step (from 0): up in a tenth of the steps, down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, images: Tensor, labels: Tensor
) -> tuple[float, int]:
    """Forward, backward, update; returns the loss and how many images were right. A loss that is no number raises."""
    dtype = torch.float16 if scaler.is_enabled() else torch.bfloat16
    with torch.autocast(images.device.type, dtype, enabled=images.is_cuda):
        logits = model(images)
    loss = cross_entropy(logits.float(), labels)
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()}")
    optimizer.zero_grad()
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.step(optimizer)
    scaler.update()
    return loss.item(), int((logits.argmax(1) == labels).sum())


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
        augment: called with each training batch, `flips` for example.
        seed: of order, augmentation and dropout. The initial weights are those that the model has.
        device: None takes CUDA where there is one, else the CPU.
        checkpoint: a folder. It holds the state after the ``last`` epoch and the ``best`` weights; where it holds some
            already, training goes on from there, on the CPU bit for bit as if it had never stopped. Needs safetensors.
        progress: show a bar. Needs tqdm.

    Returns:
        `History`. The model holds the weights of the last epoch. After Ctrl-C it holds the best so far, by
        ``valid_accuracy``, or by ``train_loss`` without `valid`; then ``history.interrupted`` is True.

    Raises:
        FloatingPointError: the loss became NaN or infinite. The model holds the best so far.
        ValueError: labels do not fit the model, a number is out of range, or the checkpoint is damaged or comes from a
            training with other settings.
        ImportError: tqdm or safetensors is missing and asked for.
        KeyboardInterrupt: Ctrl-C came before the first epoch was over.

    Example:
        >>> history = fit(model, make_defects(2000), make_defects(500, seed=1), epochs=10, augment=flips)
    """
    N = size_of(train)
    batches = math.ceil(N / positive_int("batch_size", batch_size))
    steps = batches * positive_int("epochs", epochs)
    if not lr > 0:
        raise ValueError(f"lr={lr} must be above 0: 3e-3 is a good first try for AdamW")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    optimizer = torch.optim.AdamW(model.to(device).parameters(), lr, weight_decay=weight_decay)
    half = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    settings = {"images": N, "epochs": epochs, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
    store = Store(checkpoint, model, optimizer, scaler, settings | {"seed": seed})
    history = store.resume()

    with reproducible(device), bar(steps, len(history) * batches, progress) as tick:
        try:
            for epoch in range(len(history) + 1, epochs + 1):
                torch.manual_seed(seed * 10_007 + epoch)  # for dropout
                g, start = Generator().manual_seed(seed * 10_007 + epoch), time.perf_counter()
                model.train()
                losses, right = 0.0, 0
                for number, index in enumerate(torch.split(torch.randperm(N, generator=g), batch_size)):
                    images, labels = batch(train, index, device)
                    if augment is not None:
                        images = augment(images, g)
                    rate = lr * schedule((epoch - 1) * batches + number, steps)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    loss, right_here = training_step(model, optimizer, scaler, images, labels)
                    losses, right = losses + loss * len(labels), right + right_here
                    tick(loss)
                measured = (math.nan, math.nan) if valid is None else evaluate(model, valid)
                history.append(epoch, rate, losses / N, right / N, *measured, time.perf_counter() - start)
                store.keep(history)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} in epoch {epoch}, step {number + 1}, at a learning rate of {rate:.2g}: use a smaller lr than "
                f"{lr:g}, and look for values in the images that are no numbers. The model holds {store.restore()}"
            ) from None
        except KeyboardInterrupt:
            if not len(history):
                raise
            history.interrupted = True
            print(f"Stopped in epoch {len(history) + 1} of {epochs}. The model holds {store.restore()}")
    model.eval()
    return history


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
def bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[float], None]]:
    """A progress bar over all steps; what it yields is called with the loss of each."""
    if not shown:
        yield lambda loss: None
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("the progress bar needs tqdm: pip install tqdm, or use progress=False") from error
    with tqdm(total=steps, initial=done, unit="step") as shown_bar:

        def tick(loss: float) -> None:
            shown_bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            shown_bar.update()

        yield tick
