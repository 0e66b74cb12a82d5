"""Every reader, on some damaged inputs of each kind: the short form of `make fuzz`, the same at every run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzzing import arrays, beside, checkpoints, dense, graphs, labels, sets
from benchmarks.fuzzing.artifacts import record, sidecar
from benchmarks.fuzzing.beside import HUB, PROCESSOR
from benchmarks.fuzzing.readers import GRID, PART, READERS, RECIPE, part
from benchmarks.fuzzing.watch import observe, sandbox, write

# Native runtimes may end the process, and take long: only `make fuzz` gives them damaged graphs.
QUICK = [name for name, reader in READERS.items() if not reader.slow]
INPUTS = 25


@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_input_ends_in_a_result_or_in_an_error_of_ours(name: str, tmp_path: Path) -> None:
    read, seen = READERS[name].read, []

    @settings(
        max_examples=INPUTS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(READERS[name].inputs)
    def attempt(files: dict[str, bytes]) -> None:
        write(files, place)
        outcome = observe(read, place)
        seen.append(outcome)
        assert outcome.faults == [], outcome

    with sandbox(tmp_path) as place:
        attempt()
    assert len(seen) >= INPUTS


def test_what_is_damaged_is_sound_before(tmp_path: Path) -> None:
    """Readers that refused everything would be right as well."""
    sound = {
        "pth": {"weights.pth": checkpoints.saved(checkpoints.state())},
        "tar": {"set.tar": sets.tar()},
        "parquet": {"set.parquet": labels.sound_table()},
        "recipes": {"recipe.toml": RECIPE},
        "grids": {"grid.toml": GRID},
        "cells": {PART: json.dumps(part()).encode()},
        "results": {"results/validate.json": json.dumps(record()).encode()},
        "sidecars": {"model.onnx": b"", "model.onnx.json": json.dumps(sidecar()).encode()},
        "images": {"picture": sets.photo()},
        "label maps": {
            **{f"images/{number}.png": sets.photo() for number in (1, 2)},
            **{f"annotations/{number}.png": dense.codes() for number in (1, 2)},
        },
        "annotations": {"1.png": sets.photo(), "annotations.json": json.dumps(dense.coco_file()).encode()},
        "detectors": {dense.WEIGHTS: safetensors.torch.save(dense.heads("torchvision"))},
        "kept answers": {dense.ANSWERS: dense.sound_answers()},
        "config.json": {"config.json": json.dumps(HUB).encode()},
        "preprocessor_config.json": {"preprocessor_config.json": json.dumps(PROCESSOR).encode()},
        "onnx weights": {"weights.onnx": graphs.small_convnext()},
        "configs of weights": {
            beside.WEIGHTS: beside.weights(),
            "config.json": json.dumps(beside.OF_TRANSFORMERS).encode(),
        },
        "hub": {"config.json": json.dumps(HUB).encode(), beside.HUB_WEIGHTS: beside.weights()},
        "classes": {
            "cat/1.png": sets.photo(),
            "dog/1.png": sets.photo(),
            "classes.txt": b"cat\ndog\ncow\n",
        },
        "arrays": {
            "expect.npy": arrays.saved(beside.small_answer()),
            "input.npy": arrays.saved(beside.images()),
        },
        "onnx in onnxruntime": {"model.onnx": graphs.small_model()},
    }
    with sandbox(tmp_path) as place:
        for name, files in sound.items():
            write(files, place)
            READERS[name].read(place)  # an error would end the test
