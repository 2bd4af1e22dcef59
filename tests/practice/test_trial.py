"""The measuring stand: what the student has stays as it is, and an error says what caused it."""

import random
import signal
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cbam_lite import check
from cbam_lite.practice.trial import Refused, TimeUp, Trial, arguments, build, copy_of, shake, untouched, within
from cbam_lite.practice.words_errors import ERRORS


def refusal(function: Any, *inputs: Any, **options: Any) -> Refused:
    with pytest.raises(Refused) as found:
        Trial().run(function, *inputs, **options)
    return found.value


def test_an_error_is_shown_with_its_input_and_its_line() -> None:
    def broken(F: torch.Tensor, k: int) -> torch.Tensor:
        return F.reshape(3, 7)

    found = refusal(broken, torch.ones(2, 3), k=3)
    assert found.key == "raises"
    assert found.says.startswith("RuntimeError: shape '[3, 7]' is invalid for input of size 6")
    assert found.says.endswith(
        "on the input Tensor of shape (2, 3), float32, k=3, in the line `return F.reshape(3, 7)`"
    )


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (lambda F: F.max((2, 3)), "raises_max"),
        (lambda F: F.mean(1) + F.max(1), "raises_max"),
        (lambda F: F.max(2).max(2), "raises_max"),
        (lambda F: nn.Linear(4, 2)(F.mean((2, 3), keepdim=True)), "raises_shape"),
        (lambda F: nn.Conv2d(2, 1, 3)(F), "raises_shape"),
        (lambda F: nn.Conv2d(2, 1, 3)(F.mean((2, 3))), "raises_shape"),
        (lambda F: F * F[:, :, :3], "raises_shape"),
        (lambda F: torch.cat([F, F.mean(2)]), "raises_shape"),
        (lambda F: F.numpy() * F.numpy()[:, :, :3], "raises_shape"),
        (lambda F: nn.Linear(4, 4 / 2), "raises_integer"),
        (lambda F: nn.Linear(4 / 2, 4), "raises_integer"),
        (lambda F: nn.Conv2d(4, 4, 3, padding=3 / 2)(F), "raises_integer"),
        (lambda F: range(4 / 2), "raises_integer"),
        (lambda F: torch.sigmod(F), "raises"),
        (lambda F: nn.Linear(4, 2).double()(F.mean((2, 3))), "raises"),
        (lambda F: exit(), "raises"),
    ],
)
def test_errors_that_everyone_meets_have_keys_of_their_own(step: Any, key: str) -> None:
    assert refusal(step, torch.ones(3, 4, 5, 6)).key == key
    assert key in {"raises", *ERRORS}


def test_a_missing_forward_is_named() -> None:
    class Empty(nn.Module):
        pass

    found = refusal(Empty(), torch.ones(1))
    assert (found.key, "is it written, and its name spelled right?" in found.says) == ("unfilled", True)


def test_what_is_not_written_yet_is_no_error() -> None:
    def later(F: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    assert refusal(later, torch.ones(1)).key == "unfilled"


def test_warnings_of_the_code_are_not_shown() -> None:
    def loud() -> int:
        warnings.warn("careful", stacklevel=1)
        return 3

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Trial().run(loud) == 3


def settings() -> tuple[Any, ...]:
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        signal.getsignal(signal.SIGALRM),
    )


def meddling(channels: int, reduction: int = 4) -> nn.Module:
    """A factory that changes what is the session's, and then fails."""
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    raise ValueError("and now?")


def test_nothing_of_the_session_changes() -> None:
    before = settings()
    answer = check(meddling, like="SE")
    assert not answer.passed
    assert "and now?" in answer.says
    assert settings() == before


def test_seeds_are_the_same_each_time_inside() -> None:
    def drawn() -> tuple[float, float, float]:
        with untouched():
            return random.random(), float(np.random.rand()), float(torch.rand(()))

    torch.manual_seed(7)
    assert drawn() == drawn()


def test_code_that_hangs_is_stopped() -> None:
    start = time.perf_counter()
    with pytest.raises(TimeUp), within(0.05):
        time.sleep(5)
    assert time.perf_counter() - start < 5
    time.sleep(0.1)  # no alarm is left behind


def hanging(channels: int, reduction: int = 4) -> nn.Module:
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # what a student writes; it must not keep the check from stopping
            continue


def test_a_check_of_code_that_hangs_ends() -> None:
    answer = check(hanging, like="CBAM", seconds=0.1)
    assert (answer.passed, answer.key) == (False, "hangs")
    assert "it was stopped after 0.1 s" in answer.says


def test_outside_the_main_thread_nothing_is_stopped_and_nothing_fails() -> None:
    found: list[bool] = []

    def run() -> None:
        with within(0.001):
            time.sleep(0.01)
        found.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize(
    ("maker", "expected"),
    [
        (lambda channels, reduction: 0, ([], {"channels": 16, "reduction": 4})),
        (lambda c, ratio=16: 0, ([], {"c": 16, "ratio": 4})),
        (lambda reduction_ratio, in_planes: 0, ([], {"reduction_ratio": 4, "in_planes": 16})),
        (lambda a, b: 0, ([], {"a": 16, "b": 4})),
        (lambda a: 0, ([], {"a": 16})),
        (lambda a, b, /: 0, ([16, 4], {})),
        (lambda a, /, reduction: 0, ([16], {"reduction": 4})),
        (lambda *sizes: 0, ([16, 4], {})),
        (lambda *, ch, r=2: 0, ([], {"ch": 16, "r": 4})),
        (lambda: 0, ([], {})),
    ],
)
def test_a_maker_is_called_by_names_or_by_order(maker: Any, expected: Any) -> None:
    assert arguments(maker, {"channels": 16, "reduction": 4}) == expected


def test_a_copy_is_measured() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    twin = copy_of(Trial(), module)
    shake(twin, seed=1)
    assert not twin.training
    assert module.training
    assert {p.dtype for p in twin.parameters()} == {torch.float64}
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert min(p.abs().min().item() for p in twin.parameters()) > 0.02
    assert twin[1].running_var.min() >= 1
    assert twin[1].running_mean.abs().min() > 0


def test_shaken_weights_follow_from_the_seed() -> None:
    first, again, other = (nn.Linear(4, 3).double() for _ in range(3))
    for module, seed in ((first, 1), (again, 1), (other, 2)):
        shake(module, seed)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    class Odd(nn.Module):
        def __deepcopy__(self, memo: Any) -> "Odd":
            raise RuntimeError("no copies")

    with pytest.raises(Refused, match="cannot be copied: RuntimeError: no copies"):
        copy_of(Trial(), Odd())


def test_build_runs_the_maker() -> None:
    assert build(Trial(), lambda dim, r: (dim, r), {"channels": 16, "reduction": 4}) == (16, 4)
    with pytest.raises(Refused, match="ZeroDivisionError"):
        build(Trial(), lambda dim: dim / 0, {"channels": 16})
