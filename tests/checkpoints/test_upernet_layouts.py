"""UPerNet of transformers and of mmsegmentation: read by its tensors' names, or refused by what differs.

The fixture was made by transformers 5.24 (`UperNetForSemanticSegmentation`), with its own logits.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.local_hub import LocalHub
from torch import Tensor

from convnext_edge.checkpoints import load_source as sources
from convnext_edge.checkpoints.loading import Checkpoint, load_checkpoint
from convnext_edge.checkpoints.places import Selection
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.errors import CheckpointError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "segmentation"
FOLDER = FIXTURES / "hf_upernet"
OF_MMSEGMENTATION = [
    (r"^backbone\.embeddings\.patch_embeddings\.", "backbone.downsample_layers.0.0."),
    (r"^backbone\.embeddings\.layernorm\.", "backbone.downsample_layers.0.1."),
    (r"^backbone\.encoder\.stages\.(\d)\.downsampling_layer\.", r"backbone.downsample_layers.\1."),
    (r"^backbone\.encoder\.stages\.(\d)\.layers\.(\d)\.layernorm\.", r"backbone.stages.\1.\2.norm."),
    (
        r"^backbone\.encoder\.stages\.(\d)\.layers\.(\d)\.layer_scale_parameter",
        r"backbone.stages.\1.\2.gamma",
    ),
    (r"^backbone\.encoder\.stages\.(\d)\.layers\.", r"backbone.stages.\1."),
    (r"_head\.classifier\.", "_head.conv_seg."),
    (r"\.batch_norm\.", ".bn."),
]
OF_MMPRETRAIN = [(r"\.dwconv\.", ".depthwise_conv."), (r"\.pwconv", ".pointwise_conv")]


def renamed(patterns: list[tuple[str, str]]) -> dict[str, Tensor]:
    state = {}
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        stage = re.match(r"backbone\.hidden_states_norms\.stage(\d)\.(\w+)", name)
        new = f"backbone.norm{int(stage[1]) - 1}.{stage[2]}" if stage else name
        for pattern, replacement in patterns:
            new = re.sub(pattern, replacement, new)
        state[new] = tensor
    return state


def check_logits(loaded: Checkpoint, *, tolerance: float = 1e-4) -> None:
    images = torch.from_numpy(np.load(FIXTURES / "hf_upernet.wide.input.npy")).float()
    expected = np.load(FIXTURES / "hf_upernet.wide.logits.npy")
    with torch.inference_mode():
        found = loaded.model(images).numpy()
    assert np.abs(found - expected).max() < tolerance * expected.std()


def test_the_logits_are_those_of_transformers() -> None:
    loaded = load_checkpoint(FOLDER)
    assert (loaded.task, loaded.layout, loaded.assumed) == ("segment", "transformers_v1", ())
    assert loaded.architecture.pool_bins == (1, 2, 3, 6)
    assert all(name.startswith("auxiliary_head.") for name in loaded.left_out)
    assert loaded.left_out
    check_logits(loaded)


@pytest.mark.parametrize("backbone", [[], OF_MMPRETRAIN], ids=["the authors'", "mmpretrain's"])
def test_the_names_of_mmsegmentation(backbone: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "upernet.pth"
    state = renamed([*OF_MMSEGMENTATION, *backbone])
    torch.save({"meta": {"epoch": 160}, "state_dict": state, "optimizer": {}}, path)
    loaded = load_checkpoint(path)
    assert (loaded.task, loaded.layout) == ("segment", "mmsegmentation_v1")
    assert "pyramid pooling to 1, 2, 3, 6" in loaded.assumed
    check_logits(loaded)


def copied(tmp_path: Path, **changes: object) -> Path:
    """The fixture with other values in its config."""
    folder = tmp_path / "changed"
    shutil.copytree(FOLDER, folder)
    config = json.loads((FOLDER / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def test_a_config_tells_to_what_the_maps_are_pooled(tmp_path: Path) -> None:
    loaded = load_checkpoint(copied(tmp_path, pool_scales=[1, 2, 4, 8]))
    assert (loaded.architecture.pool_bins, loaded.assumed) == ((1, 2, 4, 8), ())
    with pytest.raises(AssertionError):  # so they compute something else
        check_logits(loaded)


def test_a_config_of_another_width_is_not_obeyed(tmp_path: Path) -> None:
    loaded = load_checkpoint(copied(tmp_path, hidden_size=64))
    assert loaded.config is None
    assert "activation gelu" in loaded.assumed


def without(tmp_path: Path, *beginnings: str, more: dict[str, Tensor] | None = None) -> Path:
    state = load_file(FOLDER / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(beginnings)}
    path = tmp_path / "odd.safetensors"
    save_file({**kept, **(more or {})}, path)
    return path


def test_poolings_of_another_number_are_refused_without_a_config(tmp_path: Path) -> None:
    state = load_file(FOLDER / "model.safetensors")
    narrow = state["decode_head.bottleneck.conv.weight"][:, :-32].contiguous()
    path = without(
        tmp_path, "decode_head.psp_modules.3.", more={"decode_head.bottleneck.conv.weight": narrow}
    )
    with pytest.raises(CheckpointError, match="pyramid pooling of 3 sizes, and nothing tells them"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (
            lambda folder: without(folder, "decode_head.lateral_convs.1."),
            "lateral_convs.1.conv.weight is missing",
        ),
        (
            lambda folder: without(folder, more={"decode_head.extra.weight": torch.ones(3)}),
            "decode_head.extra.weight",
        ),
    ],
    ids=["a part is missing", "a part is unknown"],
)
def test_another_decoder_is_refused_by_what_differs_and_may_be_left_out(
    path: object, named: str, tmp_path: Path
) -> None:
    made = path(tmp_path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=re.escape(named)) as refused:
        load_checkpoint(made)
    assert "--task features" in (refused.value.hint or "")
    loaded = load_checkpoint(made, selection=Selection(task="features"))
    assert (loaded.task, loaded.architecture.decoder) == ("features", None)
    assert any(name.startswith("decode_head.") for name in loaded.left_out)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The hub, on which the fixture stands where UPerNet-T does."""
    processor = {"image_processor_type": "SegformerImageProcessor", "do_reduce_labels": False}
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    files["preprocessor_config.json"] = json.dumps(processor).encode()
    served = LocalHub("openmmlab/upernet-convnext-tiny", files)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.endpoint)
    template = served.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield served
    served.stop()


def test_a_named_segmenter_is_downloaded_with_the_windows_and_label_maps_of_its_training(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(
        find_variant("upernet_tiny"),
        architecture=load_checkpoint(FOLDER).model.architecture,
        preprocessing=replace(find_variant("upernet_tiny").preprocessing, resolution=64),
    )
    monkeypatch.setattr(sources, "find_variant", lambda name: small)
    found = sources.load_source("upernet_tiny")
    assert (found.stem, found.variant, found.task) == ("upernet_tiny", "upernet_tiny", "segment")
    assert (found.preprocessing.size, found.preprocessing.label_zero) == ((64, 64), "none")
    expected = load_file(FOLDER / "model.safetensors")["decode_head.classifier.bias"]
    torch.testing.assert_close(found.reference.state_dict()["decoder.classifier.bias"], expected.float())
    assert "GET /openmmlab/upernet-convnext-tiny/resolve/" in "\n".join(hub.requests)


def test_weights_of_another_segmenter_are_refused(hub: LocalHub) -> None:
    with pytest.raises(CheckpointError, match=r"is not a upernet_tiny: it has depths .*; upernet_tiny has"):
        sources.load_source("upernet_tiny")
