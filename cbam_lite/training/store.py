"""What a training remembers: the history of its epochs, the last state and the best weights."""

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.training.checkpoints import folder_of, load_checkpoint, save_checkpoint

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds")


@dataclasses.dataclass
class History:
    """What happened in each epoch, column by column: ``plt.plot(history["epoch"], history["valid_accuracy"])``.

    Columns are "epoch" (from 1), "lr" (at the end of the epoch), "train_loss", "train_accuracy", "valid_loss",
    "valid_accuracy" (NaN without validation images; accuracies from 0 to 1) and "seconds" (of the epoch). A detector
    has the parts of its loss and "valid_AP50" instead of accuracies. `score` names the column by which the best epoch
    is chosen; `interrupted` tells that Ctrl-C ended the training.

    Example:
        >>> history = fit(defect_net("SE"), make_defects(16), epochs=2)
        >>> history["epoch"]
        [1, 2]
    """

    columns: dict[str, list[float]] = dataclasses.field(default_factory=lambda: {name: [] for name in COLUMNS})
    interrupted: bool = False
    score: str = "valid_accuracy"

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    def __repr__(self) -> str:
        if not len(self):
            return "History of no epoch"
        last = ", ".join(f"{name} {self[name][-1]:.3f}" for name in [*self.columns][2:-1])
        end = ", interrupted" if self.interrupted else ""
        return f"History of {len(self)} epochs in {sum(self['seconds']):.0f} s{end}; the last: {last}"

    @property
    def best_epoch(self) -> int:
        """The first epoch with the highest score, or without validation with the lowest ``train_loss``."""
        measured, loss = self[self.score], self["train_loss"]
        scores = [-value for value in loss] if any(map(math.isnan, measured)) else measured
        return 1 + scores.index(max(scores)) if scores else 0

    def append(self, *values: float) -> None:
        """One more epoch; values in the order of the columns."""
        for name, value in zip(self.columns, values, strict=True):
            self.columns[name].append(value)


def is_finite(values: object) -> bool:
    return isinstance(values, Tensor) and bool(values.isfinite().all())


class Store:
    """The state of a training in memory and, if a folder is given, on disk: after the last epoch, and the best one."""

    def __init__(
        self,
        folder: str | Path | None,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        settings: dict[str, Any],
    ) -> None:
        self.folder = None if folder is None else folder_of("checkpoint", folder)
        self.model, self.optimizer, self.scaler, self.settings = model, optimizer, scaler, settings
        self.best = copy.deepcopy(model.state_dict())
        self.best_epoch, self.best_score = 0, -math.inf
        self.finite = {name for name, values in self.best.items() if is_finite(values)}  # and so they have to stay

    def keep(self, history: History) -> None:
        """After an epoch: remember its weights if they are the best so far, and write what changed.

        Raises:
            FloatingPointError: a weight became NaN or infinite in the last step, which the loss does not show yet.
        """
        if spoilt := self.spoilt(self.model.state_dict()):
            raise FloatingPointError(f"{spoilt} holds NaN or infinity")
        score = history[history.score][-1]
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

    def resume(self, beginning: History) -> History:
        """The history to go on from, or this one; model and optimiser hold the state of its last epoch."""
        if self.folder is None or not (self.folder / "last.json").is_file():
            return beginning
        tensors, facts = load_checkpoint(self.folder, "last")
        best, best_facts = load_checkpoint(self.folder, "best")
        if not {"settings", "history", "scaler"} <= facts.keys() or not {"epoch", "score"} <= best_facts.keys():
            raise ValueError(f"{self.folder} holds checkpoints that `fit` did not write: use another folder")
        if facts["settings"] != self.settings:
            raise ValueError(
                f"{self.folder} holds a training with other settings, {self.other(facts['settings'])}: use what it was "
                "made with, or another folder"
            )
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        self.check(weights, best)
        state = self.optimizer.state_dict()
        for name, tensor in tensors.items():
            kind, rest = name.split(".", 1)
            if kind == "optimizer":
                number, moment = rest.split(".")
                state["state"].setdefault(int(number), {})[moment] = tensor
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(state)
        self.scaler.load_state_dict(facts["scaler"])
        self.best, self.best_epoch, self.best_score = best, best_facts["epoch"], best_facts["score"]
        return dataclasses.replace(beginning, columns=facts["history"])

    def other(self, there: dict[str, Any]) -> str:
        """Which settings differ, there and here."""
        names = [name for name in {**there, **self.settings} if there.get(name) != self.settings.get(name)]
        words = [f"{name} {there.get(name, 'unknown')!r} there, {self.settings.get(name)!r} here" for name in names]
        return "; ".join(f"other images or labels in {w}" if w[:6] in ("train ", "valid ") else w for w in words)

    def check(self, *states: dict[str, Tensor]) -> None:
        """An error unless these are finite weights of this network; the model is not touched before."""
        own = {name: tuple(values.shape) for name, values in self.model.state_dict().items()}
        for state in states:
            found = {name: tuple(values.shape) for name, values in state.items()}
            if other := sorted({name for name, _ in own.items() ^ found.items()}):
                there, here = (shapes.get(other[0], "missing") for shapes in (found, own))
                raise ValueError(
                    f"{self.folder} holds a training of another network: {other[0]} is {there} there and {here} here; "
                    "use the network it was made with, or another folder"
                )
            if spoilt := self.spoilt(state):
                raise ValueError(
                    f"{self.folder} holds a training that diverged, {spoilt} has NaN or infinity: use another folder, "
                    "and a smaller lr"
                )

    def spoilt(self, state: dict[str, Tensor]) -> str:
        """The name of a tensor that was finite at first and is no more; "" if there is none."""
        return next((name for name in state if name in self.finite and not is_finite(state[name])), "")

    def restore(self) -> str:
        """Put the best weights back into the model, in eval mode, and say which they are."""
        self.model.load_state_dict(self.best)
        self.model.eval()
        if not self.best_epoch:
            return "its initial weights."
        where = "" if self.folder is None else f" {self.folder} holds them, too, and the same call goes on from there."
        return f"the best so far, those of epoch {self.best_epoch}.{where}"
