"""The loop that trainings of classifiers and detectors share: steps, epochs, a state to go on from, Ctrl-C and NaN.

Equal seeds give equal weights, bit for bit on one machine with one number of threads. So does a training that was
interrupted and went on: whatever is random in an epoch depends on the seed and the number of the epoch alone.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from cbam_lite.checks import a_module, choose, number, positive_int, whole
from cbam_lite.training.store import History, Store

Forward = Callable[[Tensor, Generator], tuple[Tensor, tuple[float, ...]]]  # images' numbers -> loss, what else to keep

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


# ---- one step -------------------------------------------------------------------------------------------------------


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate at this step (from 0): up in a tenth of the steps, down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, loss: Tensor) -> float:
    """Backward, update; returns the loss. A loss that is no number raises before anything is changed."""
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()}")
    optimizer.zero_grad()
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def autocast(device: torch.device) -> torch.autocast:
    """On CUDA bfloat16, or float16 where the GPU has no bfloat16; nothing changes on a CPU."""
    dtype = torch.float16 if in_half(device) else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=device.type == "cuda")


def in_half(device: torch.device) -> bool:
    """Whether a GPU has no bfloat16, so that float16 is used, with a scaled loss."""
    return device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)


# ---- all steps ------------------------------------------------------------------------------------------------------


def run(
    model: nn.Module,
    N: int,
    forward: Forward,
    measure: Callable[[], tuple[float, ...]],
    beginning: History,
    settings: dict[str, Any],
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    keep: Literal["last", "best"],
    seed: int,
    device: torch.device,
    checkpoint: str | Path | None,
    progress: bool,
    prepare: Callable[[], None] = lambda: None,
) -> History:
    """Train with AdamW; the arguments that are not here are those of `fit`.

    Args:
        N: how many images there are.
        forward: gets the numbers of a batch's images and a generator; gives the mean loss, and for each further column
            of the training part of the history a sum over the images.
        measure: gives the columns of the validation part, after each epoch.
        beginning: a history of no epoch, with its columns: epoch, lr, train_loss, those of `forward` and `measure`,
            seconds.
        settings: what else a training must share with the one that it goes on with.
        prepare: called when nothing speaks against the training any more.
    """
    choose("keep", keep, ("last", "best"))
    batches = math.ceil(N / positive_int("batch_size", batch_size))
    steps = batches * positive_int("epochs", epochs)
    lr, weight_decay = number("lr", lr), number("weight_decay", weight_decay, 0)
    if lr <= 0:
        raise ValueError(f"lr={lr} must be above 0: 3e-3 is a good first try for AdamW")
    seed = whole("seed", seed, -(2**48), 2**48)
    optimizer = torch.optim.AdamW(checked_model(model).to(device).parameters(), lr, weight_decay=weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=in_half(device))
    first = {"images": N, "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    store = Store(checkpoint, model, optimizer, scaler, first | {"weight_decay": weight_decay} | settings)
    history = store.resume(beginning)
    prepare()
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
                sums: list[float] = []
                for step, index in enumerate(torch.split(torch.randperm(N, generator=g), batch_size)):
                    rate = lr * schedule((epoch - 1) * batches + step, steps)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    loss, others = forward(index, g)
                    of_step = update(optimizer, scaler, loss)
                    here = (of_step * len(index), *others)
                    sums = [a + b for a, b in zip(sums or [0.0] * len(here), here, strict=True)]
                    tick(of_step)
                means = [value / N for value in sums]
                history.append(epoch, rate, *means, *measure(), time.perf_counter() - start)
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
            valid = history[history.score][-1:]  # of the last epoch, once there is one
            said = {"valid": f"{valid[0]:.3f}"} if valid and not math.isnan(valid[0]) else {}
            shown_bar.set_postfix(loss=f"{loss:.3f}", **said, refresh=False)
            shown_bar.update()

        yield tick
