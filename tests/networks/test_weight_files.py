"""What comes in: files and checkpoints, whole and damaged, with prefixes and wrappings, and arguments that are none."""

import io
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cbam_lite import CBAM, ResNet, export_weights, load_weights
from cbam_lite.networks.resnet import BasicBlock
from cbam_lite.networks.weights import read_weights


def network(attention=CBAM.official, **options) -> ResNet:
    return ResNet(BasicBlock, (1, 1, 1, 1), attention, planes=16, **({"num_classes": 4} | options)).eval()


def filled() -> tuple[ResNet, dict[str, Tensor]]:
    """A network, and a state dict for it with all weights at 0.5."""
    model = network()
    state = {n: torch.full_like(t, 0.5) if t.is_floating_point() else t.clone() for n, t in model.state_dict().items()}
    return model, state


# ---- wrappings and prefixes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema"])
def test_checkpoints_as_files_and_in_memory(tmp_path: Path, key: str) -> None:
    _, state = filled()
    checkpoint = {"epoch": 3, "arch": "resnet18", key: state, "best_prec1": 70.0}
    torch.save(checkpoint, tmp_path / "best.pth")
    for weights in (tmp_path / "best.pth", str(tmp_path / "best.pth"), checkpoint, {"model": checkpoint}):
        model = network()
        assert load_weights(model, weights) == "ours"
        assert (model.fc.weight == 0.5).all()


def test_plain_weights_are_taken_where_averaged_ones_stand_beside_them() -> None:
    model, state = filled()
    load_weights(model, {"model_ema": network().state_dict(), "state_dict_ema": network().state_dict(), "model": state})
    assert (model.fc.weight == 0.5).all()


def test_a_checkpoint_that_holds_itself_is_refused() -> None:
    checkpoint: dict = {}
    checkpoint["model"] = checkpoint
    with pytest.raises(ValueError, match=r"holds no state dict: .* 'model' is dict"):
        load_weights(network(), checkpoint)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "backbone.", "model._orig_mod.", "model.model."])
def test_prefixes_are_taken_off(prefix: str) -> None:
    model, state = filled()
    assert load_weights(model, {prefix + name: tensor for name, tensor in state.items()}) == "ours"
    assert (model.fc.weight == 0.5).all()


def test_a_prefix_is_taken_off_at_the_beginning_only() -> None:
    """A part called `module` inside the names is no wrapper."""
    model = nn.Sequential()
    model.conv1 = nn.Conv2d(3, 4, 1)
    model.attention = nn.Module()
    model.attention.module = nn.Conv2d(4, 4, 1)
    state = {f"module.{name}": torch.ones_like(tensor) for name, tensor in model.state_dict().items()}
    assert load_weights(model, state, layout="ours") == "ours"
    assert (model.attention.module.weight == 1).all()


def test_a_prefix_that_the_model_has_stays() -> None:
    model = nn.ModuleDict({"backbone": network(), "head": nn.Linear(4, 2)})
    state = {name: torch.ones_like(tensor) for name, tensor in model.state_dict().items()}
    assert load_weights(model, state) == "ours"
    assert (model["backbone"].fc.weight == 1).all()


def test_names_that_would_become_one_keep_their_prefix() -> None:
    model, state = filled()
    with pytest.raises(ValueError, match=r"1 not in the model: module\.fc\.bias"):
        load_weights(model, state | {"module.fc.bias": torch.zeros(4)})


def test_two_weights_of_one_name_are_refused() -> None:
    state = export_weights(network(), "timm")
    twice = {"layer1.0.attention.channel_attention.W_0.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"two weights are both layer1\.0\.attention\.channel_attention\.W_0\.bias"):
        load_weights(network(), state | twice)


def test_old_files_without_batch_counts_load() -> None:
    state = {n: t for n, t in network().state_dict().items() if not n.endswith("num_batches_tracked")}
    assert load_weights(network(), state) == "ours"


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_load_and_damaged_ones_are_refused(tmp_path: Path, suffix: str) -> None:
    state = network().state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert load_weights(network(), path) == "ours"
    whole = path.read_bytes()
    for cut in (len(whole) // 2, 10, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"weights\.(pth|safetensors) (cannot be read|holds more than tensors)"):
            load_weights(network(), path)


@pytest.mark.parametrize("number", [np.float64(70.5), np.float32(1), np.int64(3), np.bool_(True)])
def test_numpy_numbers_beside_the_weights_do_no_harm(tmp_path: Path, number: np.generic) -> None:
    torch.save({"state_dict": network().state_dict(), "best": number}, tmp_path / "a.pth")
    assert load_weights(network(), tmp_path / "a.pth") == "ours"
    with pytest.raises(pickle.UnpicklingError):  # what is allowed while we read is not allowed for ever
        torch.load(tmp_path / "a.pth", weights_only=True)


def test_numpy_numbers_of_numpy_1_are_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    state = network().state_dict()
    torch.save({"state_dict": state, "best": np.float64(1)}, content, _use_new_zipfile_serialization=False)
    old = content.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old.pth").write_bytes(old)
    assert old != content.getvalue()
    assert load_weights(network(), tmp_path / "old.pth") == "ours"


class MakesAFolder:
    """A pickle of this makes the folder when it is read by an ordinary pickle.load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_file_is_not_run(tmp_path: Path, save) -> None:
    save({"state_dict": MakesAFolder(tmp_path / "was run")}, tmp_path / "evil.pth")
    with pytest.raises(
        ValueError,
        match=r"evil\.pth holds more than tensors, or is damaged. A pickle can run .*it asks for .*mkdir",
    ):
        load_weights(network(), tmp_path / "evil.pth")
    assert not (tmp_path / "was run").exists()


def test_the_advice_to_run_a_file_is_not_handed_on(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"state_dict": {}}, 4))  # a protocol that torch.save does not write
    with pytest.raises(ValueError, match=r"\(Unsupported operand 149\)$"):
        load_weights(network(), tmp_path / "a.pth")


def test_what_is_refused_is_named_without_colours(tmp_path: Path) -> None:
    torch.save({"state_dict": network().state_dict(), "curve": np.ones(3)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"\(it asks for numpy\._core\.multiarray\._reconstruct\)$") as caught:
        load_weights(network(), tmp_path / "a.pth")
    assert "\x1b" not in str(caught.value)


def test_without_safetensors_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="needs the safetensors package: pip install safetensors"):
        read_weights(tmp_path / "a.safetensors")


# ---- what is no file, no weights, no network ------------------------------------------------------------------------


def test_a_file_that_is_not_there_and_one_without_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth is not there: give the path"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match=r"is a folder: give the path of a \.safetensors or \.pth file"):
        load_weights(network(), tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds no state dict: expected names and tensors, got list"):
        read_weights(tmp_path / "list.pth")


@pytest.mark.parametrize("weights", [None, [], 3, torch.zeros(1)])
def test_weights_that_are_neither_a_path_nor_a_state_dict(weights) -> None:
    kind = type(weights).__name__
    with pytest.raises(TypeError, match=f"weights must be the path of a file or a state dict, got {kind}"):
        load_weights(network(), weights)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "weights holds no state dict: expected names and tensors, got nothing"),
        ({"state_dict": {}}, "got nothing"),
        ({"fc.weight": np.ones(3)}, r"'fc\.weight' is ndarray\. .* with torch\.from_numpy"),
        ({3: torch.ones(1)}, "3 is Tensor"),
        ({"epoch": 3, "weights": {}}, r"'epoch' is int\. Take the state dict out"),
        ({"fc.weight": torch.ones(1, device="meta")}, r"holds no numbers: fc\.weight is on the meta device"),
    ],
)
def test_state_dicts_that_are_none(state, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_weights(network(), state)


def test_a_model_that_is_none_and_one_without_numbers() -> None:
    for act in (lambda model: load_weights(model, {}), lambda model: export_weights(model, "timm")):
        with pytest.raises(TypeError, match=r"model must be a network, such as .*, got type"):
            act(ResNet)
        with torch.device("meta"), pytest.raises(ValueError, match=r"conv1\.weight of the model is on the meta device"):
            act(network())


@pytest.mark.parametrize("name", ["fc.weight", "bn1.running_var"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    model, state = filled()
    state[name] = state[name].double()
    state[name].view(-1)[1] = value
    with pytest.raises(ValueError, match=rf"1 of {state[name].numel()} numbers in {name} are NaN or infinite in .*32"):
        load_weights(model, state)
    assert not (model.conv1.weight == 0.5).any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keep": ["fc."]}, TypeError, r"keep must be a part of names, such as 'fc\.', got \['fc\.'\] of type list"),
        ({"keep": ""}, ValueError, "keep='' is in every name, nothing would be loaded"),
        ({"keep": "."}, ValueError, r"keep='\.' is in every name, nothing would be loaded"),
        ({"layout": "Timm"}, ValueError, "'Timm' is not one of .*did you mean 'timm'"),
        ({"layout": ["timm"]}, ValueError, r"layout=\['timm'\] is not one of"),
        ({"strides": "1.5"}, ValueError, r"strides='1\.5' is not one of 'v1\.5', 'v1'; did you mean 'v1\.5'"),
    ],
)
def test_options_that_are_none(options, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_weights(network(), network().state_dict(), **options)
