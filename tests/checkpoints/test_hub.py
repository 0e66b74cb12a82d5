"""The hub's own client against a small server on this machine: download, cache, and one clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
from support.local_hub import COMMIT, LocalHub
from support.places import TESTS

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.hub import Fetched, fetch
from convnext_edge.checkpoints.variants import Variant
from convnext_edge.errors import DownloadError
from convnext_edge.images.preprocessing import Preprocessing

WEIGHTS = (TESTS / "fixtures" / "checkpoints" / "timm_v1.safetensors").read_bytes()
VARIANT = Variant(
    name="fixture",
    architecture=Architecture(depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), classes=10),
    preprocessing=Preprocessing(),
    published_top1=None,
    license="apache-2.0",
    source="timm/convnext_fixture.r64_in10",
)
CONFIG = {  # the keys that timm writes
    "architecture": "convnext_fixture",
    "num_classes": 10,
    "num_features": 48,
    "pretrained_cfg": {
        "tag": "r64_in10",
        "input_size": [3, 64, 64],
        "interpolation": "bilinear",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.5, 0.25, 0.125],
        "std": [0.2, 0.3, 0.4],
        "num_classes": 10,
    },
}


class Hub(LocalHub):
    """Holds the small variant's repository."""

    def configure(self, **changes: object) -> None:
        self.files["config.json"] = json.dumps({**CONFIG, **changes}).encode()

    def configure_preprocessing(self, **changes: object) -> None:
        self.configure(pretrained_cfg={**CONFIG["pretrained_cfg"], **changes})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    served = Hub(VARIANT.source, {"model.safetensors": WEIGHTS})
    served.configure()
    yield served
    served.stop()


def refusal(hub: Hub, variant: Variant = VARIANT) -> str:
    start = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        fetch(variant, endpoint=hub.endpoint)
    assert time.monotonic() - start < 5
    assert variant.source in caught.value.message
    assert "--checkpoint FILE" in caught.value.hint
    return caught.value.message


def test_weights_and_their_preprocessing_are_downloaded(hub: Hub) -> None:
    fetched = fetch(VARIANT, endpoint=hub.endpoint)
    assert fetched.path.read_bytes() == WEIGHTS
    expected = Preprocessing(64, 0.95, "bilinear", (0.5, 0.25, 0.125), (0.2, 0.3, 0.4))
    assert fetched == Fetched(fetched.path, expected, VARIANT.source, COMMIT)


def test_weights_are_downloaded_once(hub: Hub) -> None:
    first = fetch(VARIANT, endpoint=hub.endpoint)
    assert fetch(VARIANT, endpoint=hub.endpoint) == first
    downloads = [request for request in hub.requests if request.startswith("GET")]
    assert len(downloads) == len(set(downloads)) == 2


@pytest.mark.parametrize("outage", ["refused", "HTTP 503"])
def test_the_cache_serves_when_the_hub_does_not(hub: Hub, outage: str) -> None:
    first = fetch(VARIANT, endpoint=hub.endpoint)
    hub.status = 503
    if outage == "refused":
        hub.stop()
    start = time.monotonic()
    assert fetch(VARIANT, endpoint=hub.endpoint) == first
    assert time.monotonic() - start < 2


def test_the_crop_mode_of_timm_is_taken(hub: Hub) -> None:
    hub.configure_preprocessing(crop_mode="squash", crop_pct=0.9)
    found = fetch(VARIANT, endpoint=hub.endpoint).preprocessing
    assert (found.resize_mode, found.crop, found.resized) == ("squash", 0.9, (71, 71))


@pytest.mark.parametrize(
    ("status", "error_code", "said"),
    [
        (404, "RepoNotFound", "there is no such repository"),
        (403, "GatedRepo", "gated"),
        (401, "", "HTTP 401"),
        (503, "", "HTTP 503"),
    ],
)
def test_an_answer_that_is_no_file_is_one_error(hub: Hub, status: int, error_code: str, said: str) -> None:
    hub.status, hub.error_code = status, error_code
    message = refusal(hub)
    assert said in message
    assert hub.endpoint in message


def test_a_repository_without_weights_is_refused(hub: Hub) -> None:
    del hub.files["model.safetensors"]
    assert "HTTP 404" in refusal(hub)


def test_a_refused_connection_is_one_error(hub: Hub) -> None:
    hub.stop()
    assert "Connect" in refusal(hub)


def test_offline_mode_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal(hub)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "convnext_small"}, "architecture 'convnext_small', not 'convnext_fixture'"),
        ({"num_classes": 1000}, "num_classes 1000, not 10"),
        ({"model_args": {"act_layer": "gelu_tanh"}}, "gelu_tanh"),
        ({"pretrained_cfg": {}}, "pretrained_cfg has no input_size"),
        ({"pretrained_cfg": {**CONFIG["pretrained_cfg"], "crop_pct": "wide"}}, 'must be a number, is "wide"'),
        ({"pretrained_cfg": {**CONFIG["pretrained_cfg"], "std": [0, 1, 1]}}, "must be a number above 0"),
        (
            {"pretrained_cfg": {**CONFIG["pretrained_cfg"], "input_size": [1, 64, 64]}},
            "1 channels of input_size",
        ),
        ({"pretrained_cfg": {**CONFIG["pretrained_cfg"], "crop_mode": "border!"}}, 'is "border!"'),
    ],
)
def test_a_config_of_another_model_is_refused(hub: Hub, changes: dict[str, object], said: str) -> None:
    hub.configure(**changes)
    assert said in refusal(hub)


def test_a_broken_config_is_refused(hub: Hub) -> None:
    hub.files["config.json"] = b'{"architecture": '
    assert "is not JSON" in refusal(hub)


def test_weights_of_another_architecture_are_refused(hub: Hub) -> None:
    deeper = replace(VARIANT, architecture=replace(VARIANT.architecture, depths=(1, 1, 3, 1)))
    message = refusal(hub, deeper)
    assert "depths=(1, 1, 2, 1)" in message
    assert "depths=(1, 1, 3, 1)" in message


def test_damaged_weights_are_refused(hub: Hub) -> None:
    hub.files["model.safetensors"] = WEIGHTS[:1000]
    assert "model.safetensors" in refusal(hub)


@pytest.mark.slow
def test_nothing_is_printed_where_there_is_no_terminal(hub: Hub, tmp_path: Path) -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; from test_hub import *; print(fetch(VARIANT).revision)"
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    run = subprocess.run(
        [sys.executable, "-c", code, str(TESTS), str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (run.stdout, run.stderr) == (f"{COMMIT}\n", "")
