"""What every test shares: fixed seeds, few threads, no window, and a device fixture."""

import os

# Read by CUDA, matplotlib and OpenMP when they start, so these stand before the imports. One thread for each worker of
# pytest-xdist, and for what it starts: two workers with two threads each wait for one another on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported: the kernels run on the CPU, slowly

torch.set_num_threads(1)
torch.backends.cudnn.allow_tf32 = False  # convolutions on a GPU in all digits of float32, as on the CPU

hypothesis.settings.register_profile("default", deadline=None, max_examples=40)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def pytest_report_header() -> str:
    return f"torch {torch.__version__} on {', '.join(DEVICES)}"


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
