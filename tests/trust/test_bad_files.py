"""Files that once ended in a traceback, or took all memory or all time: each is one clear error."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.detectors import CHECKPOINT as DETECTOR
from support.image_sets import refusal
from support.models import CHECKPOINT
from support.places import TESTS

from convnext_edge.checkpoints.expectation import read_array
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import CheckpointError, UsageError
from convnext_edge.images.class_order import read_rows
from convnext_edge.images.opening import open_path
from convnext_edge.images.preprocessing import Preprocessing

BAD = TESTS / "fixtures" / "bad"
STEM = "stem.0.weight"  # (16, 3, 4, 4)

Change = Callable[[dict[Any, Any]], object]


def checkpoint_refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.hint
    return caught.value.message


def instead(make: Callable[[torch.Tensor], object], name: str = STEM) -> Change:
    """Another object in the place of one tensor."""
    return lambda state: state.update({name: make(state[name])})


def loop(state: dict[Any, Any]) -> None:
    state.clear()
    state["model"] = state


def prefixed(state: dict[Any, Any]) -> None:
    deep = {"module." * 3000 + name: value for name, value in state.items()}
    state.clear()
    state.update(deep)


def scaled(factor: float) -> Change:
    return lambda state: state.update({name: value.double() * factor for name, value in state.items()})


STATES: dict[str, tuple[Change, str]] = {
    "sparse": (instead(lambda w: w.to_sparse()), "is a sparse tensor"),
    "meta": (instead(lambda w: w.to("meta")), "is a meta tensor"),
    "huge meta": (instead(lambda w: torch.empty((2**20, 2**20, 2**10), device="meta")), "is a meta tensor"),
    "complex": (instead(lambda w: w.to(torch.complex64)), "is a complex tensor"),
    "quantized": (instead(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)), "is a quantized"),
    "overlapping": (instead(lambda w: torch.zeros(1).expand(w.shape)), "lie over each other"),
    "exploding": (instead(lambda w: torch.zeros(1).expand(2**20, 2**20)), "lie over each other"),
    "strided": (instead(lambda w: torch.zeros(99).as_strided((64, 64), (1, 0))), "lie over each other"),
    "number": (lambda state: state.update({3: torch.zeros(1)}), "has the key 3"),
    "long name": (lambda state: state.update({"x" * 5000: torch.zeros(1)}), "has the key 'xxx"),
    "long number": (lambda state: state.update({f"stages.{'9' * 99}.blocks.0.gamma": torch.zeros(1)}), "999"),
    "written twice": (
        lambda state: state.update({"stages.00.blocks.0.gamma": state["stages.0.blocks.0.gamma"]}),
        "stages.00.blocks.0.gamma of shape (16,) is unexpected",
    ),
    "holds itself": (loop, "wrappers in wrappers without end"),
    "many prefixes": (prefixed, "has the key 'module."),
    "1e30": (scaled(1e30), "answers with NaN or infinity, as its weights go up to 1.8e+30"),
    "beyond float32": (scaled(1e200), "values beyond float32, up to "),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_a_checkpoint_of_odd_tensors_is_refused(case: str, tmp_path: Path) -> None:
    change, said = STATES[case]
    state: dict[Any, Any] = load_file(CHECKPOINT)
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    assert said in checkpoint_refusal(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone.body.1.0.block.3.weight", 1e30),
        ("roi_heads.box_predictor.cls_score.weight", 3e38),
        ("roi_heads.mask_predictor.mask_fcn_logits.weight", 3e38),
    ],
)
def test_a_detector_that_finds_nothing_as_its_numbers_overflow_is_refused(
    name: str, value: float, tmp_path: Path
) -> None:
    state = torch.load(DETECTOR, weights_only=True)
    state[name] = torch.full(state[name].shape, value)
    torch.save(state, tmp_path / "weights.pth")
    assert "the model answers with NaN or infinity" in checkpoint_refusal(tmp_path / "weights.pth")


@pytest.mark.parametrize("factor", [1e-42, 0.0], ids=["denormal", "zero"])
def test_weights_that_are_small_are_taken(factor: float, tmp_path: Path) -> None:
    state = {name: value * factor for name, value in load_file(CHECKPOINT).items()}
    save_file(state, tmp_path / "weights.safetensors")
    assert load_checkpoint(tmp_path / "weights.safetensors").layout == "timm_v1"


def test_parameters_and_transposed_tensors_are_weights_as_others(tmp_path: Path) -> None:
    state: dict[str, torch.Tensor] = load_file(CHECKPOINT)
    expected = load_checkpoint(CHECKPOINT).model.state_dict()
    state[STEM] = torch.nn.Parameter(state[STEM])
    state["head.fc.weight"] = state["head.fc.weight"].t().contiguous().t()
    torch.save(state, tmp_path / "weights.pth")
    found = load_checkpoint(tmp_path / "weights.pth").model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_damaged_checkpoint_is_refused() -> None:
    assert "is truncated or damaged" in checkpoint_refusal(BAD / "damaged.pth")


def test_a_checkpoint_that_unpacks_to_more_than_it_has_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(load_file(CHECKPOINT), buffer)
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(buffer) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in given.namelist():
            made.writestr(name, bytes(2**22) if name.endswith("data/0") else given.read(name))
    assert "PyTorch does not compress" in checkpoint_refusal(path)


def test_a_type_of_safetensors_that_pytorch_lacks_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    assert str(path) in checkpoint_refusal(path)


# --- sets of images --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["damaged", "meta"])
def test_a_damaged_parquet_file_is_refused(name: str) -> None:
    assert f"{name}.parquet" in refusal(BAD / f"{name}.parquet").message


def test_a_row_without_an_image_is_a_broken_image() -> None:
    images = open_path(BAD / "nullimage.parquet", name="null")
    preprocessing = Preprocessing(resolution=32)
    with pytest.raises(Exception, match="has no bytes in") as caught:
        list(images.batches(preprocessing, batch=1, dtype="uint8"))
    assert type(caught.value).__name__ == "ImageSetError"


def test_a_damaged_devkit_is_refused() -> None:
    pytest.importorskip("scipy")
    assert "meta.mat is damaged, or not of ImageNet's devkit" in refusal(BAD / "devkit").message


@pytest.mark.parametrize("damaged", ["devkit_crash", "devkit_deflate"])
def test_a_devkit_that_crashes_scipy_or_cannot_be_unpacked_is_refused(tmp_path: Path, damaged: str) -> None:
    folder = tmp_path / "set" / "devkit"  # deep enough that no other test's images find it beside them
    folder.mkdir(parents=True)
    for file in (BAD / "devkit").iterdir():
        shutil.copy(file, folder)
    shutil.copy(BAD / damaged / "meta.mat", folder)
    assert "meta.mat is damaged, or not of ImageNet's devkit" in refusal(folder).message


def test_a_devkit_that_unpacks_to_more_than_labels_take_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    packed = zlib.compress(bytes(2**26))
    element = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    folder = tmp_path / "devkit"
    folder.mkdir()
    for file in (BAD / "devkit").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "meta.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + element)
    assert "unpacks to more than" in refusal(folder).message


@pytest.mark.parametrize("digits", [25, 5000])
def test_a_label_of_many_digits_is_refused(digits: int, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "labels.txt").write_text(f"1.png {'9' * digits}\n")
    assert "beyond any number of classes" in refusal(tmp_path).message


# --- beside a checkpoint ---------------------------------------------------------------------------


def headed(header: bytes, data: bytes = b"") -> bytes:
    """A .npy file with that header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def claim(kind: str, shape: str) -> bytes:
    return headed(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode(), bytes(16))


def packed(content: bytes, name: str = "logits.npy") -> bytes:
    """A .npz file of one array."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, content)
    return buffer.getvalue()


ARRAYS: dict[str, tuple[bytes, str]] = {
    "more than the file": (claim("<f4", "(1099511627776,)"), "mmap length is greater than file"),
    "more than memory": (claim("<f4", f"({2**62}, {2**62})"), "cannot be read as an array"),
    "no end of its header": (headed(b"(" * 9000), "cannot be read as an array"),
    "deep header": (headed(b"-" * 9000 + b"1"), "cannot be read as an array"),
    "objects": (claim("|O", "(1,)"), "cannot be read as an array"),
    "infinity": (claim("<f4", "(4,)")[:-16] + b"\x00\x00\x80\x7f" * 4, "it holds NaN, infinity"),
    "beyond float32": (claim("<f8", "(1,)")[:-16] + b"\xff" * 6 + b"\xef\x7f", "beyond float32"),
    "damaged archive": (packed(claim("<f4", "(4,)"))[:-9], "cannot be read as an array"),
    "bomb": (packed(bytes(2**27 + 1)), "it unpacks to more than"),
    "text in an archive": (packed(b"text"), "cannot be read as an array"),
    "nothing": (b"", "cannot be read as an array"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_what_is_no_array_is_refused(case: str, tmp_path: Path) -> None:
    content, said = ARRAYS[case]
    (tmp_path / "expect.npy").write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_array(tmp_path / "expect.npy")
    assert "numpy.save" in caught.value.hint


def test_an_array_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("pipe.npy", "nowhere.npy", ""):
        with pytest.raises(UsageError, match="it is no file"):
            read_array(tmp_path / name)


def test_a_member_of_an_archive_is_read_under_no_name_of_its_own(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    (place / "x.npz").write_bytes(packed(claim("<f4", "(4,)"), "../../evil.npy"))
    found = read_array(place / "x.npz")
    assert isinstance(found, dict)
    assert found["../../evil"].tolist() == [0.0] * 4
    assert [path.name for path in tmp_path.rglob("*.np*")] == ["x.npz"]


@pytest.mark.parametrize("dims", [3, "ab", [[1]], {"a": 1}])
def test_a_config_with_dims_of_another_kind_is_refused(dims: object, tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "convnext_x", "model_args": {"dims": dims}})
    )
    assert "config.json is damaged: model_args.dims" in checkpoint_refusal(tmp_path / "model.safetensors")


@pytest.mark.parametrize("filling", [" ", ",;", "1 ", "a ", "\u2003"])
def test_a_long_line_of_class_names_takes_no_longer_than_its_length(filling: str, tmp_path: Path) -> None:
    text = f"cat 0\ndog{filling * 300_000}dog\ncow 2\n"
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8")
    began = time.process_time()
    assert len(read_rows(tmp_path / "classes.txt", "--classes")) == 3
    assert time.process_time() - began < 1.0
