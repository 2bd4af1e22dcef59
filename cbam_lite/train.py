"""Train a classifier: one function, `fit`, whose loop stands in the open, and what it keeps on disk.

Equal seeds give equal weights, bit for bit on one machine with one number of threads. So does a training that was
interrupted and went on: whatever is random in an epoch depends on the seed and the number of the epoch alone.
"""

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset, default_collate

from cbam_lite.checkpoints import load_checkpoint, save_checkpoint
from cbam_lite.data import LabelledImages
from cbam_lite.parts import evaluating, positive_int

Augmentation = Callable[[Tensor, Generator], Tensor]  # images (B, 3, H, W), randomness -> images

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds")


@dataclasses.dataclass
class History:
    """What happened in each epoch, column by column: ``plt.plot(history["epoch"], history["valid_accuracy"])``.

    Columns are "epoch" (from 1), "lr" (at the end of the epoch), "train_loss", "train_accuracy", "valid_loss",
    "valid_accuracy" (NaN without validation images; accuracies from 0 to 1) and "seconds" (of the epoch).
    `interrupted` tells that Ctrl-C ended the training.
    """

    columns: dict[str, list[float]] = dataclasses.field(default_factory=lambda: {name: [] for name in COLUMNS})
    interrupted: bool = False

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    def __repr__(self) -> str:
        if not len(self):
            return "History of no epoch"
        last = ", ".join(f"{name} {self[name][-1]:.3f}" for name in COLUMNS[2:-1])
        end = ", interrupted" if self.interrupted else ""
        return f"History of {len(self)} epochs in {sum(self['seconds']):.0f} s{end}; the last: {last}"

    def append(self, *values: float) -> None:
        """One more epoch; values in the order of the columns."""
        for name, value in zip(COLUMNS, values, strict=True):
            self.columns[name].append(value)


# ---- batches --------------------------------------------------------------------------------------------------------


def batch(data: Dataset[Any], index: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) as float32 and labels (B,) at these positions of any map-style data set."""
    if isinstance(data, LabelledImages):
        images, labels = data.images[index].to(device).float() / 255, data.labels[index]
    else:
        images, labels = default_collate([data[i] for i in index.tolist()])
    return images.to(device), labels.to(device)


def flips(images: Tensor, g: Generator) -> Tensor:
    """Each image mirrored left to right, and top to bottom, with probability 1/2: surfaces have no "up"."""
    for dim in (2, 3):
        mirrored = torch.rand(len(images), 1, 1, 1, generator=g) < 0.5
        images = torch.where(mirrored.to(images.device), images.flip(dim), images)
    return images


def shifts_and_mirrors(images: Tensor, g: Generator, pixels: int = 4) -> Tensor:
    """What CIFAR-10 is trained with: each image moved by up to 4 pixels (zeros come in), half of them mirrored."""
    B, C, H, W = images.shape
    padded = nn.functional.pad(images, [pixels] * 4)  # (B, C, H + 8, W + 8)
    top, left = torch.randint(2 * pixels + 1, (2, B, 1), generator=g).to(images.device)
    rows, columns = torch.arange(H, device=images.device) + top, torch.arange(W, device=images.device) + left  # (B, H)
    moved = padded.gather(2, rows[:, None, :, None].expand(-1, C, -1, W + 2 * pixels))  # (B, C, H, W + 8)
    moved = moved.gather(3, columns[:, None, None, :].expand(-1, C, H, -1))  # (B, C, H, W)
    mirrored = torch.rand(B, 1, 1, 1, generator=g) < 0.5
    return torch.where(mirrored.to(images.device), moved.flip(3), moved)


@torch.no_grad()
def predict(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """The logits (N, classes) of a model for every image, and the true labels (N,), both on the CPU.

    The model runs in eval mode, on its device; afterwards each of its modules has the mode it had.

    Raises:
        ValueError: there are no images.
    """
    device, parts = next(model.parameters()).device, []
    with evaluating(model):
        for index in torch.split(torch.arange(size_of(data)), batch_size):
            images, labels = batch(data, index, device)
            parts.append((model(images).float().cpu(), labels.cpu()))
    return torch.cat([logits for logits, _ in parts]), torch.cat([labels for _, labels in parts])


def evaluate(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[float, float]:
    """Mean cross-entropy, and accuracy from 0 to 1, of a model on a data set."""
    logits, labels = predict(model, data, batch_size=batch_size)
    return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


def size_of(data: Dataset[Any]) -> int:
    N = len(data)  # type: ignore[arg-type]
    if N == 0:
        raise ValueError("the data set is empty: give at least one image")
    return N


# ---- one step -------------------------------------------------------------------------------------------------------


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate at this step (from 0): up in a tenth of the steps, down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if int(labels.max()) >= logits.shape[1] or int(labels.min()) < 0:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but the model has {logits.shape[1]} outputs: build it "
            f"with num_classes={int(labels.max()) + 1}, and count classes from 0"
        )
    return nn.functional.cross_entropy(logits, labels)


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


class Store:
    """The state of a training in memory and, if a folder is given, on disk: after the last epoch, and the best one."""

    def __init__(
        self,
        folder: str | Path | None,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        settings: dict[str, float],
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.model, self.optimizer, self.scaler, self.settings = model, optimizer, scaler, settings
        self.best = copy.deepcopy(model.state_dict())
        self.best_epoch, self.best_score = 0, -math.inf

    def keep(self, history: History) -> None:
        """After an epoch: remember its weights if they are the best so far, and write what changed."""
        score = history["valid_accuracy"][-1]
        score = -history["train_loss"][-1] if math.isnan(score) else score
        facts = {"settings": self.settings, "history": history.columns}
        if score > self.best_score:
            self.best = copy.deepcopy(self.model.state_dict())
            self.best_epoch, self.best_score = len(history), score
            if self.folder is not None:
                save_checkpoint(self.folder, "best", self.best, facts | {"epoch": len(history), "score": score})
        if self.folder is not None:
            tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
            for number, moments in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
            save_checkpoint(self.folder, "last", tensors, facts | {"scaler": self.scaler.state_dict()})

    def resume(self) -> History:
        """The history to go on from; model and optimiser hold the state of its last epoch."""
        if self.folder is None or not (self.folder / "last.json").is_file():
            return History()
        tensors, facts = load_checkpoint(self.folder, "last")
        if facts["settings"] != self.settings:
            other = {name: value for name, value in facts["settings"].items() if self.settings.get(name) != value}
            raise ValueError(
                f"{self.folder} holds a training with other settings, {other}: use these, or another folder"
            )
        state = self.optimizer.state_dict()
        for name, tensor in tensors.items():
            kind, rest = name.split(".", 1)
            if kind == "optimizer":
                number, moment = rest.split(".")
                state["state"].setdefault(int(number), {})[moment] = tensor
        self.model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        self.optimizer.load_state_dict(state)
        self.scaler.load_state_dict(facts["scaler"])
        self.best, best_facts = load_checkpoint(self.folder, "best")
        self.best_epoch, self.best_score = best_facts["epoch"], best_facts["score"]
        return History(facts["history"])

    def restore(self) -> str:
        """Put the best weights back into the model, in eval mode, and say which they are."""
        self.model.load_state_dict(self.best)
        self.model.eval()
        if not self.best_epoch:
            return "its initial weights."
        where = "" if self.folder is None else f" {self.folder} holds them, too, and the same call goes on from there."
        return f"the best so far, those of epoch {self.best_epoch}.{where}"
