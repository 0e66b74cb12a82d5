"""What shows in no tensor is told by the user or a config beside the file, or assumed and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import CHECKPOINT

from convnext_edge import export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.kept_weights import save_weights
from convnext_edge.checkpoints.load_source import Asked, load_source
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.checkpoints.traits import Resolved, resolve
from convnext_edge.errors import CheckpointError, ExportError, UsageError
from convnext_edge.progress import LOGGER

TINY, ZEPTO = SIZES["tiny"], replace(SIZES["zepto_rms"], norm="rmsnorm")  # as tensors show them
RELU = {"model_type": "convnext", "hidden_act": "relu", "layer_norm_eps": 1e-12, "hidden_sizes": TINY.dims}


def resolved(folder: Path, asked: Traits = Traits(), config: Any = None, **options: Any) -> Resolved:  # noqa: B008
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    shown, family = options.get("shown", TINY), options.get("family", "timm")
    return resolve(shown, family, folder / "model.safetensors", asked)


def test_what_nothing_tells_is_assumed_though_a_published_model_has_these_shapes(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    assert found.architecture == TINY
    assert found.assumed == ("activation gelu", "epsilon 1e-06", "avg pooling", "strides and no dilation")
    zepto = resolved(tmp_path, shown=ZEPTO)
    assert zepto.architecture.norm == "simplenorm"
    assert "norm simplenorm (timm's zepto has simplenorm)" in zepto.assumed
    assert resolved(tmp_path, shown=SIZES["xxlarge"]).architecture.eps == 1e-5


def test_what_the_user_tells_is_not_assumed(tmp_path: Path) -> None:
    asked = Traits("silu", norm_eps=1e-3, pooling="max", output_stride=16)
    found = resolved(tmp_path, asked)
    assert found.assumed == ()
    told = replace(TINY, activation="silu", eps=1e-3, last_eps=1e-3, pooling="max", output_stride=16)
    assert found.architecture == told


def test_a_config_of_transformers_beside_the_file_is_obeyed(tmp_path: Path) -> None:
    found = resolved(tmp_path, config=RELU, family="transformers")
    assert (found.architecture.activation, found.assumed) == ("relu", ())
    assert found.config is not None
    assert found.config.place == tmp_path / "config.json"
    assert (found.architecture.eps, found.architecture.last_eps) == (1e-6, 1e-12)
    assert resolved(tmp_path, Traits(activation="gelu"), RELU).architecture.activation == "gelu"


def test_a_config_of_timm_tells_the_model_and_what_it_changes(tmp_path: Path) -> None:
    arguments = {"act_layer": "relu", "output_stride": 16}
    config = {"architecture": "convnext_tiny", "global_pool": "max", "model_args": arguments}
    found = resolved(tmp_path, config=config)
    assert found.assumed == ()
    assert (found.architecture.activation, found.architecture.pooling) == ("relu", "max")
    assert found.architecture.output_stride == 16
    twice = {**config, "model_args": {"global_pool": "avg"}}  # which goes before: timm 1.0.31
    assert resolved(tmp_path, config=twice).architecture.pooling == "avg"
    named = resolved(tmp_path, config={"architecture": "convnext_zepto_rms"}, shown=ZEPTO)
    assert (named.architecture.norm, named.assumed) == ("simplenorm", ())


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "vit", "hidden_act": "relu"},
        {**RELU, "hidden_sizes": [8, 16, 32, 64]},
        {**RELU, "model_type": "convnextv2"},
        {**RELU, "num_channels": 1},
        {**RELU, "patch_size": 2},
        {"architecture": "convnext_small"},
        {"architecture": "convnextv2_tiny"},
        {"architecture": "resnet50", "global_pool": "max"},
        {"architecture": "convnext_base", "global_pool": "max"},
    ],
)
def test_a_config_of_another_model_says_nothing(tmp_path: Path, config: dict[str, Any]) -> None:
    found = resolved(tmp_path, config=config)
    assert (found.config, found.architecture.activation, len(found.assumed)) == (None, "gelu", 4)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**RELU, "hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"architecture": "convnext_tiny", "model_args": {"output_stride": [16]}}, r"output_stride \[16\]"),
        ({"architecture": "convnext_tiny", "global_pool": "token"}, "global_pool 'token'"),
        ({**RELU, "layer_norm_eps": "tiny"}, "layer_norm_eps must be a number"),
    ],
)
def test_a_config_that_no_model_of_ours_fits_is_refused(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        resolved(tmp_path, config=config)


@pytest.mark.parametrize(
    "config",
    [{"model_type": "bert"}, {**RELU, "hidden_sizes": [1, 2]}, {"architecture": "convnext_base"}, {"a": 1}],
)
def test_a_config_of_another_model_is_not_obeyed_and_said_to_be(
    tmp_path: Path, config: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "propagate", True)
    with caplog.at_level("INFO"):
        found = resolved(tmp_path, config=config)
    assert (found.config, found.architecture) == (None, TINY)
    assert "config.json is not obeyed: it tells of no ConvNeXt with these shapes" in caplog.text


def test_what_the_tensors_contradict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a head for avg pooling, not for catavgmax"):
        resolved(tmp_path, Traits(pooling="catavgmax"))
    with pytest.raises(CheckpointError, match="norms with a bias, which is LayerNorm"):
        resolved(tmp_path, Traits(norm="rmsnorm"))
    with pytest.raises(UsageError, match="--activation belongs to --checkpoint"):
        export("demo", activation="relu", workspace=tmp_path)


def test_what_is_assumed_stays_so_with_kept_weights_until_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = load_source(checkpoint=CHECKPOINT)
    kept = save_weights(given, Workspace.at(tmp_path))
    caplog.set_level("INFO", "convnext_edge")
    again = load_source(checkpoint=kept.path)
    assert again.assumed == given.assumed == kept.description.assumed
    assert "activation gelu" in again.assumed
    *of_tensors, of_images = given.assumed
    assert f"it is assumed: {', '.join(of_tensors)}." in caplog.text
    assert f"these are taken: {of_images}." in caplog.text
    told = load_source(checkpoint=kept.path, asked=Asked(Traits("relu", norm_eps=1e-5)))
    assert told.assumed == ("avg pooling", "strides and no dilation", of_images)
    assert told.describe().assumed == told.assumed


@pytest.mark.slow
def test_the_answer_of_ones_own_model_proves_an_export(tmp_path: Path) -> None:
    """The fixture's own library answered with GELU."""
    images, answer = CHECKPOINT.with_name("input.npy"), CHECKPOINT.with_name("timm_v1.logits.npy")
    given: dict[str, Any] = {"checkpoint": CHECKPOINT, "resolution": 64, "workspace": tmp_path / "made"}
    made = export(expect=answer, input_data=images, **given)
    assert made.expected_max_abs_diff is not None
    assert made.expected_max_abs_diff < 1e-4
    sidecars = [open_artifact(path).description for path in (made.artifact, made.weights)]
    images_alone = ("images as timm prepares models of no published size",)  # which no answer proves
    assert [made.assumed, *(described.assumed for described in sidecars)] == [images_alone] * 3
    with pytest.raises(ExportError, match=r"not the model of --expect: logits differs(?s:.)*epsilon"):
        export(expect=answer, input_data=images, activation="relu", **given)
    with pytest.raises(UsageError, match="belong together"):
        export(expect=answer, **given)
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((2, 7), np.float32))
    with pytest.raises(UsageError, match=r"logits of shape \(2, 7\), the model \(2, 10\)"):
        export(expect=wrong, input_data=images, **given)
    wrong.write_bytes(b"no array")
    with pytest.raises(UsageError, match=r"wrong\.npy cannot be read as an array"):
        export(expect=wrong, input_data=images, **given)
