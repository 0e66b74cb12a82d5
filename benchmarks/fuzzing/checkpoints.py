"""Damaged weights files: odd tensors and names, pickles in sound archives, headers of safetensors."""

from __future__ import annotations

import argparse
import datetime
import io
import json
import struct
import warnings
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.fuzzing.edits import damaged, damaged_json
from convnext_edge.architecture import Architecture
from convnext_edge.network.convnext import ConvNeXt

SMALL = Architecture((1, 1), (4, 8), patch=4, classes=3)
NAMES = (
    3, ("a", 1), None, "", "x" * 3000, "head.weight", "module.head.weight", "model." * 3000 + "w", "a\nb", "\udc80",  # noqa: E501
    "stages.99999999999999999999.blocks.0.dwconv.weight", "stages.0.blocks." + "9" * 5000 + ".gamma",
    "stages.\u0663.blocks.0.gamma",
)  # fmt: skip


@cache
def state() -> dict[str, Tensor]:
    """Return the weights of the smallest model."""
    torch.manual_seed(0)
    return {name: tensor.detach() for name, tensor in ConvNeXt(SMALL).state_dict().items()}


def odd_tensors(whole: Tensor) -> list[Callable[[], object]]:
    """Return what makes an object that takes the place of a tensor, from sparse to claimed sizes."""
    shape = whole.shape
    return [
        lambda: whole.to_sparse(),
        lambda: whole.flatten(1).to_sparse_csr() if whole.dim() > 1 else whole.to_sparse(),
        lambda: whole.to("meta"),
        lambda: torch.empty((2**20, 2**20, 2**10), device="meta"),
        lambda: torch.quantize_per_tensor(whole, 0.1, 0, torch.qint8),
        lambda: torch.quantize_per_channel(
            whole.flatten(1) if whole.dim() > 1 else whole[:, None], torch.ones(shape[0]),
            torch.zeros(shape[0]), 0, torch.qint8,
        ),
        lambda: whole.to(torch.complex64),
        lambda: torch.nested.nested_tensor([whole, whole]),
        lambda: torch.nn.Parameter(whole),
        lambda: torch.zeros(1).expand(2**18, 2**18),
        lambda: torch.zeros(1).expand(shape),
        lambda: torch.zeros(2**16).as_strided((2**15, 2**15), (1, 1)),
        lambda: torch.zeros(shape[::-1]).permute(*reversed(range(whole.dim()))),
        lambda: whole.double() * 1e300,
        lambda: whole.half(),
        lambda: whole.to(torch.float8_e4m3fn),
        lambda: whole.to(torch.int64),
        lambda: whole > 0,
        lambda: whole * float("nan"),
        lambda: torch.full_like(whole, 1e30),
        lambda: torch.full_like(whole, 1e-42),
        lambda: torch.full_like(whole, float("inf")),
        lambda: torch.tensor(1.0),
        lambda: torch.zeros((0, *shape[1:])),
        lambda: torch.zeros((1,) * 60),
        lambda: torch.imag(torch.zeros(shape, dtype=torch.complex64)).conj(),
        lambda: whole.numpy().tolist(),
        lambda: {"weight": whole},
        lambda: "weights",
        lambda: None,
        lambda: 10**4000,
    ]  # fmt: skip


BESIDE: tuple[Any, ...] = (
    np.float64(0.5), np.arange(3), np.array([None, {}], object), np.dtype([("a", "O")]), Path("/etc/x"),
    argparse.Namespace(a=torch.zeros(2)), defaultdict(list, {"model": dict[str, Any]()}), deque([1]),
    datetime.datetime(2026, 1, 2), [torch.zeros(2), {}], {1: torch.zeros(2)}, {"state": 3, "param_groups": 4},
)  # fmt: skip


def in_itself(_: Any) -> Any:
    """Return a mapping that holds itself."""
    made: dict[str, Any] = {"epoch": 1}
    made["model"] = made
    return made


def repeated(made: Any, times: int, keys: tuple[str, ...] = ("model",)) -> Any:
    """Return mappings in mappings, each of which has several ways to the next."""
    for _ in range(times):
        made = {key: made for key in keys}  # noqa: C420  one object under all keys
    return made


WRAPPERS: tuple[Callable[[Any], Any], ...] = (
    lambda made: made,
    lambda made: {"model": made, "epoch": 3},
    lambda made: {"state_dict": made, "epoch": 3},
    lambda made: {f"{'module.' * 1500}{name}": value for name, value in made.items()},
    lambda made: [made],
    in_itself,
    lambda made: repeated(made, 300),
    lambda made: repeated(made, 12, tuple("0123456789")),
    lambda made: {"model": dict(state()), "model_ema": made, "optimizer": {"state": {}, "param_groups": []}},
    lambda made: {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in made.items()}},
)


@st.composite
def contents(draw: st.DrawFn) -> Any:
    """Return what a training script might have saved, and what none would."""
    made: dict[Any, Any] = dict(state())
    names = sorted(made)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(names))
        made[name] = draw(st.sampled_from(odd_tensors(state()[name])))()
    for _ in range(draw(st.integers(0, 2))):
        made[draw(st.sampled_from(NAMES))] = state()[draw(st.sampled_from(names))]
    wrapped = draw(st.sampled_from(WRAPPERS))(made)
    if isinstance(wrapped, dict) and draw(st.integers(0, 3)) == 0:
        wrapped["extra"] = draw(st.sampled_from(BESIDE))
    return wrapped


def saved(content: Any, *, legacy: bool = False) -> bytes:
    """Return what torch.save writes; without what it cannot write, the plain weights."""
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    except Exception:  # some of the odd tensors have no form on disk
        return saved(state(), legacy=legacy)
    return buffer.getvalue()


@st.composite
def pickles(draw: st.DrawFn) -> bytes:
    """Return a PyTorch file: of odd contents, damaged anywhere, or inside an archive that is whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = saved(draw(contents()), legacy=draw(st.sampled_from((False, False, True))))
    how = draw(st.sampled_from(("whole", "bytes", "member", "member", "deflated")))
    if how == "whole" or (how != "bytes" and not whole.startswith(b"PK")):
        return whole
    if how == "bytes":
        return draw(damaged(whole))
    return draw(_rewritten(whole, deflated=how == "deflated"))


@st.composite
def _rewritten(draw: st.DrawFn, whole: bytes, *, deflated: bool) -> bytes:
    """Return the archive with one member damaged, and with checksums that are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as given, zipfile.ZipFile(buffer, "w") as made:
        names = given.namelist()
        chosen = (
            draw(st.sampled_from(names)) if deflated else next(n for n in names if n.endswith("data.pkl"))
        )
        for name in names:
            content = given.read(name)
            if name == chosen:
                content = bytes(2**26) if deflated else draw(damaged(content))
            made.writestr(name, content, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)
    return buffer.getvalue()


@st.composite
def safetensors_files(draw: st.DrawFn) -> bytes:
    """Return a safetensors file with a damaged header, or damaged anywhere, or of odd tensors."""
    whole = safetensors.torch.save(state())
    how = draw(st.sampled_from(("header", "header", "bytes", "tensors")))
    if how == "bytes":
        return draw(damaged(whole))
    if how == "tensors":
        made = dict(state())
        name = draw(st.sampled_from(sorted(made)))
        odd = draw(st.sampled_from(odd_tensors(made[name])))()
        try:
            return safetensors.torch.save({**made, name: odd})  # type: ignore[dict-item]
        except Exception:  # as it refuses what is no tensor
            return draw(damaged(whole))
    length = struct.unpack("<Q", whole[:8])[0]
    header = draw(damaged_json(json.loads(whole[8 : 8 + length])))
    return struct.pack("<Q", len(header)) + header + whole[8 + length :]


CONFIG = {
    "model_type": "convnext", "hidden_act": "gelu", "layer_norm_eps": 1e-6, "hidden_sizes": [4, 8],
    "depths": [1, 1], "id2label": {"0": "cat", "1": "dog", "2": "cow"},
}  # fmt: skip


@st.composite
def folders(draw: st.DrawFn) -> dict[str, bytes]:
    """Return a folder as Hugging Face saves it, of two parts, with a damaged index or config."""
    names = sorted(state())
    parts = {f"model-{number}-of-2.safetensors": names[number - 1 :: 2] for number in (1, 2)}
    index: Any = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    config: Any = CONFIG
    files = {
        file: safetensors.torch.save({name: state()[name] for name in held}) for file, held in parts.items()
    }
    whole = {"model.safetensors.index.json": index, "config.json": config}
    wrong = draw(st.sampled_from(sorted(whole)))
    texts = {name: json.dumps(value).encode() for name, value in whole.items()}
    texts[wrong] = draw(damaged_json(whole[wrong]) | damaged(texts[wrong]))
    return {**files, **texts}


@st.composite
def snapshots(draw: st.DrawFn) -> bytes:
    """Return a snapshot of fine-tuning that is damaged, or that another program wrote."""
    whole: dict[Any, Any] = {
        "step": 3,
        "settings": {"format": 2, "seed": 0},
        "start": {},
        "student": state(),
        "optimizer": {"state": {}, "param_groups": []},
    }
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(sorted(whole) + ["extra"]))  # noqa: RUF005
        if draw(st.booleans()) and key in whole:
            del whole[key]
        else:
            whole[key] = draw(
                st.sampled_from((None, -1, "x", [], {}, 10**4000, torch.zeros(2), float("nan")))
            )
    written = saved(whole)
    return written if draw(st.booleans()) else draw(damaged(written))
