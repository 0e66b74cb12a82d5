"""What is no checkpoint of a ConvNeXt is refused by name: other files, other models, and its relatives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.checkpoints import FIXTURES, UNUSUAL, State, fixture, write
from torch import Tensor

from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import CheckpointError
from convnext_edge.network.convnext import ConvNeXt


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


# --- files that are no weights ---------------------------------------------------------------------


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("created-by-a-checkpoint",)


def test_code_in_a_pickle_is_named_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(write(tmp_path, {"model": fixture("official_v1.pth"), "extra": Malicious()}))
    assert "mkdir" in message
    assert "weights_only" not in message
    assert not (tmp_path / "created-by-a-checkpoint").exists()


def test_a_pickled_module_is_refused_by_its_class(tmp_path: Path) -> None:
    assert "convnext_edge.network.convnext.ConvNeXt" in refusal(write(tmp_path, ConvNeXt(UNUSUAL[0])))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty (0 bytes)"),
        (b"ConvNeXt weights, see the README\n", "begins with b'ConvNeXt'"),
        (b"\x08\x0a\x12\x07pytorch\x1a", "file.pth as ONNX: "),
        (b"PK\x03\x04 a zip of something else", "truncated or damaged"),
        (b"\x80\x04garbage", "its pickle is not one that PyTorch writes"),
    ],
    ids=["empty", "text", "onnx", "zip", "pickle"],
)
def test_a_file_of_another_kind_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    assert said in refusal(path)


@pytest.mark.parametrize("name", ["official_v1.pth", "timm_v1.safetensors"])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_size(name: str, kept: float, tmp_path: Path) -> None:
    whole = (FIXTURES / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(kept * len(whole))])
    message = refusal(path)
    assert f"{int(kept * len(whole)):,} bytes" in message
    assert "truncated or damaged" in message


def legacy(state: State, path: Path) -> None:
    """As PyTorch wrote files before 1.6."""
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_file, legacy], ids=["zip", "safetensors", "legacy"])
def test_a_file_cut_off_anywhere_is_refused(save: Callable[[State, Path], None], tmp_path: Path) -> None:
    """Where the cut is decides what PyTorch raises: of a zip's end, an OSError."""
    path = tmp_path / "weights"
    save(fixture("timm_v1.safetensors"), path)
    whole = path.read_bytes()
    ends = {*range(1, 64), *range(1, len(whole), len(whole) // 100), *range(len(whole) - 100, len(whole))}
    for end in sorted(ends):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert caught.value.hint, end


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "is a folder without weights of a known name (model.safetensors" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no tensors"),
        (torch.zeros(3), "holds a Tensor"),
        ({"epoch": 3}, "holds no tensors (its keys: epoch)"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "conv1.weight (64, 3, 7, 7)"),
        ({"features.0.0.weight": torch.zeros(8, 3, 4, 4)}, "features.0.0.weight (8, 3, 4, 4)"),
        ({"patch_embed.proj.weight": torch.zeros(96, 3, 4, 4)}, "patch_embed.proj.weight (96, 3, 4, 4)"),
    ],
    ids=["nothing", "tensor", "no-weights", "resnet", "torchvision-swin", "swin"],
)
def test_another_model_is_refused_by_its_tensors(content: object, said: str, tmp_path: Path) -> None:
    assert said in refusal(write(tmp_path, content))


# --- models that resemble ConvNeXt -----------------------------------------------------------------

BLOCK = "stages.0.blocks.0."


def without(pattern: str, state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not re.search(pattern, name)}


def changed(base: str, **tensors: Tensor) -> State:
    """The fixture with tensors put in; `__` stands for a dot in their names."""
    return {**fixture(base), **{name.replace("__", "."): tensor for name, tensor in tensors.items()}}


TIMM = "timm_v1.safetensors"
RELATIVES = {
    "two kernels in a stage": (
        changed(TIMM, stages__2__blocks__1__conv_dw__weight=torch.ones(32, 1, 5, 5)),
        ["stages.2.blocks.1.conv_dw.weight has shape (32, 1, 5, 5), not (32, 1, 7, 7)", "of a stage"],
    ),
    "an even kernel": (
        changed(TIMM, stages__0__blocks__0__conv_dw__weight=torch.ones(16, 1, 6, 6)),
        [BLOCK + "conv_dw.weight of shape (16, 1, 6, 6)", "odd"],
    ),
    "biases in some norms": (
        without(r"blocks.*norm\.bias", fixture(TIMM)),
        [BLOCK + "norm.bias is missing", "all norms"],
    ),
    "no biases": (
        without(r"conv_dw\.bias", fixture(TIMM)),
        [BLOCK + "conv_dw.bias is missing", "all convolutions have a bias, or none", "2 more differences"],
    ),
    "MLP ratio of 3": (
        changed(TIMM, stages__0__blocks__0__mlp__fc1__weight=torch.ones(48, 16)),
        [BLOCK + "mlp.fc1.weight has shape (48, 16), not (64, 16)", "C channels to 4C"],
    ),
    "hidden layer in the head": (
        changed(TIMM, head__pre_logits__fc__weight=torch.ones(96, 48)),
        [
            "head.pre_logits.fc.bias is missing",
            "head.fc.weight has shape (10, 48), not (10, 96)",
            "hidden layer",
        ],
    ),
    "classifier of no classes": (
        changed(TIMM, head__fc__weight=torch.ones(0, 48), head__fc__bias=torch.ones(0)),
        ["head.fc.weight of shape (0, 48) is unexpected"],
    ),
    "GRN and layer scale": (
        changed("timm_v2.safetensors", stages__0__blocks__0__gamma=torch.ones(16)),
        ["stages.1.blocks.0.gamma is missing", "all blocks have the same parts"],
    ),
    "GRN in some blocks": (
        without(r"stages\.2.*grn", fixture("timm_v2.safetensors")),
        ["stages.2.blocks.0.mlp.grn.weight is missing", "all blocks have the same parts"],
    ),
    "layer scale in some blocks": (
        without(r"stages\.2\.blocks\.1\.gamma", fixture(TIMM)),
        ["stages.2.blocks.1.gamma is missing"],
    ),
    "a tensor too many": (changed(TIMM, neck__weight=torch.ones(2, 3)), ["neck.weight of shape (2, 3)"]),
    "a tensor too few": (
        without(r"stages\.3\.downsample\.1\.weight", fixture(TIMM)),
        ["stages.3.downsample.1.weight"],
    ),
    "a head without a norm": (without(r"head\.norm", fixture(TIMM)), ["head.norm.weight is missing"]),
    "torchvision's names": (
        without(r"features\.5\.1\.block\.3\.bias", fixture("torchvision_v1.pth")),
        ["features.5.1.block.3.bias is missing"],
    ),
    "NaN": (
        changed(TIMM, head__fc__bias=torch.tensor([float("nan")] * 2 + [1.0] * 8)),
        ["head.fc.bias of shape (10,) has 2 values that are NaN or infinite"],
    ),
    "integers": (
        changed(TIMM, head__fc__weight=torch.ones(10, 48, dtype=torch.int8)),
        ["head.fc.weight is of type int8"],
    ),
}


@pytest.mark.parametrize("relative", RELATIVES)
def test_a_relative_of_convnext_is_refused_by_what_differs(relative: str, tmp_path: Path) -> None:
    state, said = RELATIVES[relative]
    message = refusal(write(tmp_path, state))
    for words in said:
        assert words in message
