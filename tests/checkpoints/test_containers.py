"""Whatever a training script wraps weights in, they are found, and which of several were taken is said."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import io
import pathlib
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import FIXTURES, State, fixture, write
from torch import nn

from convnext_edge.checkpoints.load_source import Asked, load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.places import Selection
from convnext_edge.errors import CheckpointError, UsageError

PLAIN = fixture("timm_v1.safetensors")
AVERAGED = {name: tensor + 0.01 for name, tensor in PLAIN.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def averaged_model(state: State) -> dict[str, Any]:
    """What torch's own AveragedModel saves."""
    holder = nn.ParameterDict({name.replace(".", "/"): tensor.clone() for name, tensor in state.items()})
    saved = torch.optim.swa_utils.AveragedModel(holder).state_dict()
    return {name.replace("/", "."): tensor for name, tensor in saved.items()}


def taken(path: Path, weights: Any = None) -> tuple[str, str | None]:
    """Return which weights all those of the model are, and what is said of them."""
    loaded = load_checkpoint(path, selection=Selection(weights))
    found, whole = loaded.model.state_dict(), whole_state()
    assert found.keys() == whole.keys()
    shifts = {"plain": 0.0, "averaged": 0.01}
    return next(
        kind for kind, shift in shifts.items() if all(torch.equal(found[n], whole[n] + shift) for n in whole)
    ), loaded.taken


@functools.cache
def whole_state() -> State:
    """Return the plain weights by our names, from a file without any container."""
    state: State = load_checkpoint(FIXTURES / "timm_v1.safetensors").model.state_dict()
    return state


ONE: dict[str, Callable[[State], Any]] = {
    "tutorial": lambda s: {"epoch": 5, "model_state_dict": s, "loss": 0.4},
    "net": lambda s: {"net": s, "acc": 93.1},
    "weights": lambda s: {"weights": s},
    "composer": lambda s: {"state": {"model": under("module.model.", s)}, "rng": [{"torch": torch.zeros(5)}]},
    "fastai": lambda s: {"model": s, "opt": {"state": [{"avg": torch.ones(3)}], "hypers": [{"lr": 0.1}]}},
    "deep": lambda s: {"run": {"best": {"student": under("backbone.", s)}}},
    "compiled block by block": lambda s: {
        name.replace("blocks.0.", "blocks.0._orig_mod."): tensor for name, tensor in s.items()
    },
    "compiled in parallel": lambda s: {"state_dict": under("module._orig_mod.net.", s)},
    "best score beside": lambda s: {
        "model": s,
        "best_acc": torch.tensor(0.9),
        "rng_state": torch.get_rng_state(),
    },
    "settings in the model's own mapping": lambda s: {**s, "epoch": 3, "args": {"lr": 0.1}},
    "an optimizer in the model's own mapping": lambda s: {
        "net": {**s, "best_acc": torch.tensor(0.9), "optimizer": {"state": {}, "param_groups": []}}
    },
    "the same twice": lambda s: {"model": s, "state_dict": s},
}
TWO: dict[str, Callable[[State, State], Any]] = {
    "timm": lambda p, a: {"state_dict": p, "state_dict_ema": a},
    "the authors": lambda p, a: {"model": p, "model_ema": a, "epoch": 3},
    "one mapping": lambda p, a: {"state_dict": {**under("net.", p), **under("ema.module.", a)}},
    "AveragedModel": lambda p, a: {"model": p, "averaged": averaged_model(a)},
    "AveragedModel, by its counter": lambda p, a: {"model": p, "smooth": averaged_model(a)},
    "ema_pytorch": lambda p, a: {
        **under("online_model.", p),
        **under("ema_model.", a),
        "initted": torch.tensor(True),
        "step": torch.tensor(7),
    },
    "DINO": lambda p, a: {"student": under("backbone.", p), "teacher": under("backbone.", a)},
    "MMEngine, which swaps": lambda p, a: {
        "meta": {},
        "state_dict": a,
        "ema_state_dict": {"steps": torch.tensor(3), **under("module.", p)},
    },
    "Lightning, which swaps": lambda p, a: {
        "state_dict": under("model.", a),
        "current_model_state": under("model.", p),
        "averaging_state": {"n_averaged": torch.tensor(3)},
    },
}


@pytest.mark.parametrize("form", ONE)
def test_one_model_is_found_in_whatever_it_is_wrapped(form: str, tmp_path: Path) -> None:
    assert taken(write(tmp_path, ONE[form](PLAIN)))[0] == "plain"


@pytest.mark.parametrize("form", TWO)
def test_of_plain_and_averaged_weights_the_averaged_are_taken_and_the_others_named(
    form: str, tmp_path: Path
) -> None:
    path = write(tmp_path, TWO[form](PLAIN, AVERAGED))
    kind, told = taken(path)
    assert (kind, taken(path, "ema")[0], taken(path, "plain")[0]) == ("averaged", "averaged", "plain")
    assert told is not None
    assert told.startswith("averaged (EMA) weights, under ")
    assert "--weights plain" in told


def test_weights_that_are_only_averaged_are_called_that(tmp_path: Path) -> None:
    path = write(tmp_path, averaged_model(AVERAGED))
    assert taken(path) == ("averaged", "averaged (EMA) weights, under module.")
    with pytest.raises(CheckpointError, match="has no plain weights, only averaged ones under module"):
        taken(path, "plain")


def test_plain_weights_are_not_passed_off_as_averaged_ones(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no averaged weights, only plain ones under the top"):
        taken(write(tmp_path, PLAIN), "ema")


def test_a_teacher_of_another_size_is_no_average(tmp_path: Path) -> None:
    teacher = {name: tensor for name, tensor in PLAIN.items() if not name.startswith("stages.2.blocks.1.")}
    path = write(tmp_path, {"student": PLAIN, "teacher": teacher})
    kind, told = taken(path)
    assert kind == "plain"
    assert told is not None
    assert "not the averaged ones under teacher." in told
    loaded = load_checkpoint(path, selection=Selection("ema"))
    assert loaded.architecture.depths == (1, 1, 1, 1)


def test_models_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {**under("query.", PLAIN), **under("key.", AVERAGED)})
    with pytest.raises(CheckpointError, match=r"several ConvNeXts, under key\. and query\."):
        load_checkpoint(path)


def test_the_parts_of_a_model_in_mappings_of_their_own_are_not_taken_for_a_whole(tmp_path: Path) -> None:
    body = {name: tensor for name, tensor in PLAIN.items() if not name.startswith("head.fc")}
    path = write(tmp_path, {"backbone": body, "head": {"weight": PLAIN["head.fc.weight"]}})
    with pytest.raises(CheckpointError, match=r"has head\.weight beside the ConvNeXt under backbone\."):
        load_checkpoint(path)


def test_a_head_of_ones_own_beside_a_backbone_is_not_left_out(tmp_path: Path) -> None:
    body = {name: tensor for name, tensor in PLAIN.items() if not name.startswith("head.fc")}
    own = under("cls_head.", {"weight": PLAIN["head.fc.weight"]})
    with pytest.raises(CheckpointError, match=r"has cls_head\.weight beside the ConvNeXt under backbone\."):
        load_checkpoint(write(tmp_path, {**under("backbone.", body), **own}))
    for probe in ({"weight": torch.ones(10)}, {"probe": torch.ones(10, 48)}):
        with pytest.raises(CheckpointError, match="beside the ConvNeXt under backbone"):
            load_checkpoint(write(tmp_path, {"backbone": body, **probe}))


@pytest.mark.parametrize(
    "part", ["neck.weight", "transformer.proj.weight", "test_fc.weight", "norms.weight", "decay"]
)
def test_a_layer_is_not_left_out_for_its_name_alone(part: str, tmp_path: Path) -> None:
    """`neck` is a part of detectors, and the projection of a model for faces."""
    body = {name: tensor for name, tensor in PLAIN.items() if not name.startswith("head.fc")}
    with pytest.raises(CheckpointError, match=f"has {part} beside the ConvNeXt under backbone"):
        load_checkpoint(write(tmp_path, {**under("backbone.", body), part: torch.eye(48)}))


def test_a_weight_with_a_wrapper_of_pytorch_and_without_is_refused(tmp_path: Path) -> None:
    both = {**PLAIN, "head._orig_mod.fc.bias": PLAIN["head.fc.bias"] + 1}
    with pytest.raises(CheckpointError, match=r"has head\.fc\.bias twice, in a wrapper of PyTorch"):
        load_checkpoint(write(tmp_path, both))


@pytest.mark.parametrize(
    "keys", [("optimizer", "exp_avg"), ("opt_state", "exp_avg"), ("optim", "momentum_buffer")]
)
def test_averages_of_gradients_are_no_weights(keys: tuple[str, str], tmp_path: Path) -> None:
    outer, inner = keys
    path = write(tmp_path, {"model": PLAIN, outer: {inner: AVERAGED}})
    assert taken(path) == ("plain", None)
    assert all(name.startswith(f"{outer}.{inner}.") for name in load_checkpoint(path).left_out)
    with pytest.raises(CheckpointError, match="no stem under any of the names"):
        load_checkpoint(write(tmp_path, {outer: {inner: AVERAGED}}))


def test_a_teacher_of_other_classes_is_no_average(tmp_path: Path) -> None:
    of_three = {name: AVERAGED[name][:3] for name in ("head.fc.weight", "head.fc.bias")}
    path = write(tmp_path, {"student": PLAIN, "teacher": {**AVERAGED, **of_three}})
    kind, told = taken(path)
    assert kind == "plain"
    assert told is not None
    assert "not the averaged ones under teacher." in told


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
    path = write(
        tmp_path,
        {
            "state_dict": {
                **under("model.", PLAIN),
                "criterion.weight": torch.ones(10),
                "val_acc.tp": torch.ones(1),
            },
            "optimizer": optimizer.state_dict(),
            "ema_decay": torch.tensor(0.99),
            "mean": torch.ones(3),
        },
    )
    left_out = set(load_checkpoint(path).left_out)
    assert left_out == {
        "state_dict.criterion.weight",
        "state_dict.val_acc.tp",
        "optimizer",
        "ema_decay",
        "mean",
    }


def test_weights_are_chosen_of_a_checkpoint_only() -> None:
    with pytest.raises(UsageError, match="--weights belongs to --checkpoint"):
        load_source("demo", asked=Asked(selection=Selection("ema")))


# --- values beside the weights ---------------------------------------------------------------------

BESIDE: dict[str, Any] = {
    "numpy scalars": {
        "loss": np.float64(0.4),
        "best": np.float32(0.9),
        "step": np.int64(7),
        "ok": np.bool_(True),
    },
    "numpy arrays": {"mean": np.array([0.4, 0.5]), "names": np.array(["a", "b"])},
    "a random generator": np.random.RandomState(0).get_state(),
    "paths": [pathlib.PurePosixPath("/data"), pathlib.Path("here")],
    "settings": argparse.Namespace(lr=4e-3, data=pathlib.Path("x")),
    "collections": [
        collections.defaultdict(list, {"a": [1]}),
        collections.deque([1, 2]),
        collections.Counter("aab"),
    ],
    "dates": [datetime.datetime(2026, 1, 2, 3), datetime.timedelta(seconds=3)],
    "a namespace": types.SimpleNamespace(lr=1),
    "a set, a slice": [{1, 2}, frozenset({3}), slice(1, 2), range(3), 1j],
}


@pytest.mark.parametrize("kind", BESIDE)
def test_harmless_values_beside_the_weights_are_passed_over(kind: str, tmp_path: Path) -> None:
    assert taken(write(tmp_path, {"model": PLAIN, "extra": BESIDE[kind]}))[0] == "plain"


def test_a_value_on_the_list_is_not_made_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class under a name of the list would run its own code while it is unpickled."""
    made: list[object] = []

    class HistoryBuffer:
        def __setstate__(self, state: object) -> None:
            made.append(state)

    module = types.ModuleType("mmengine.logging.history_buffer")
    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    buffer = HistoryBuffer()
    buffer.values = np.ones(3)  # type: ignore[attr-defined]
    path = write(tmp_path, {"state_dict": PLAIN, "message_hub": {"loss": buffer}})
    assert taken(path)[0] == "plain"
    assert made == []
    assert pickle.load(io.BytesIO(pickle.dumps(buffer))) is not buffer  # which does run it
    assert len(made) == 1


def test_weights_inside_a_mapping_of_another_library_are_read(tmp_path: Path) -> None:
    assert (
        taken(write(tmp_path, {"checkpoint": collections.defaultdict(dict, {"model": PLAIN})}))[0] == "plain"
    )
