"""A sidecar is read only where each key has a type and a range that the program knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.wrong_values import WRONG, exchanged, places

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Calibration, Description, Link, Verdict
from convnext_edge.artifacts.shapes import SidecarShape
from convnext_edge.artifacts.sidecar import read_sidecar, sidecar_path
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.errors import ArtifactError
from convnext_edge.images.preprocessing import Preprocessing

DESCRIPTION = Description(
    kind="engine",
    stem="tiny",
    variant="tiny",
    architecture=Architecture((3, 3, 9, 3), (96, 192, 384, 768), classes=2),
    preprocessing=Preprocessing(resolution=384, crop=1.0),
    precision="int8",
    target="openvino",
    method="ptq",
    recipe={"range": "mse", "outside": 1e-5, "weight_bits": 8, "depthwise": False, "keep_float": ["head"]},
    calibration=Calibration("photos", 2, "ab" * 32),
    calibration_hashes=("0123456789abcdef",),
    quantized_layers=("head",),
    float_layers=("stem",),
    classes=("cat", "dog"),
    engine={"runtime": "openvino", "version": "2026.4.1", "notes": ["unverified"], "max_batch": 8},
    assumed=("activation gelu",),
    layout="timm_v1",
    usual_resolution=224,
    recipe_name="mine",
    opset=17,
    form="conv",
    machine="x86-64",
    weights=Link("tiny.safetensors", "cd" * 32),
    parent=Link("tiny.onnx", "ef" * 32),
    verdict=Verdict(False, ("speed", "drop"), ("drop (2 points lost, 1 allowed)",), ("few images",)),
)
TEXT, ANY_TEXT, RECIPE = (
    ["", "../../evil"],
    ["", "a\nb", "../../evil"],
    [True, 0, -1.5, 10**39, 1e300, "", "../../evil", [], {}],
)
# What of WRONG is not wrong in some places; numbers of lists are left out
FINE = {
    "variant": [None, *TEXT],
    "target": [None],
    "method": [None],
    **{key: [True] for key in [f"architecture.{f.name}" for f in fields(Architecture) if f.type == "bool"]},
    **{key: [0] for key in [f"architecture.{name}" for name in ("stem_width", "hidden", "decoder_width")]},
    **{key: [0] for key in [f"architecture.{name}" for name in ("box_width", "mask_width")]},
    **{key: [0] for key in [f"architecture.{name}" for name in ("eps", "last_eps")]},
    **{
        key: [[]]
        for key in [f"architecture.{name}" for name in ("kernels", "maps", "map_norms", "pool_bins")]
    },
    "architecture.decoder": [None],
    "architecture.cascade": [None],
    "architecture.detection": [None],
    "architecture.output_stride": [None],
    "dynamic_size": [True],
    "form": [None],
    "machine": [None],
    "preprocessing.interpolation": TEXT,  # compared with the known ones where it is used
    "preprocessing.mean.": [0],
    "preprocessing.exif": [True],
    "recipe": [None, {}, {"a": {}}],
    **dict.fromkeys([f"recipe.{key}" for key in DESCRIPTION.recipe or {}], RECIPE),
    "recipe.keep_float.": TEXT,
    "calibration": [None],
    "calibration.name": TEXT,
    "calibration.images": [0],
    "calibration_hashes": [[]],
    "quantized_layers": [[]],
    "quantized_layers.": TEXT,
    "float_layers": [[]],
    "float_layers.": TEXT,
    "classes": [[]],
    "classes.": ANY_TEXT,
    "assumed": [[]],
    "assumed.": TEXT,
    "engine": [None, {}, {"a": {}}],
    "engine.runtime": TEXT,
    "engine.notes": [[]],
    "engine.notes.": TEXT,
    "layout": [None, *TEXT],
    "usual_resolution": [None],
    "recipe_name": [None],
    "opset": [None],
    "weights": [None],
    "parent": [None],
    "verdict": [None],
    "verdict.passed": [True],
    **{f"verdict.{key}": [[]] for key in ("gates", "unmet", "warnings")},
    **{f"verdict.{key}.": TEXT for key in ("gates", "unmet", "warnings")},
    "tools": [{}],
    "command": ANY_TEXT,
}
# Which sidecars of earlier versions lack, and what they get.
LATER = {
    **dict.fromkeys(["layout", "usual_resolution", "recipe_name", "opset", "form", "machine", "verdict"]),
    "task": "classify",
    "dynamic_size": False,
    "assumed": (),
}


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.xml"
    write_artifact(path, DESCRIPTION, lambda file: file.write_bytes(b"content") and None)
    return path


def values(engine: Path) -> Any:
    return json.loads(sidecar_path(engine).read_text())


def refusal(engine: Path) -> ArtifactError | None:
    try:
        open_artifact(engine)
    except ArtifactError as error:
        return error
    return None


def test_every_key_is_of_a_type_and_in_a_range_or_refused(engine: Path) -> None:
    sidecar = {**values(engine), "tools": {"torch": "2"}}
    for place in places(sidecar):
        name = ".".join("" if isinstance(key, int) else key for key in place)
        fine = FINE.get(name, TEXT if place[0] == "tools" else [])
        found = []
        for value in WRONG:
            sidecar_path(engine).write_text(json.dumps(exchanged(sidecar, place, value)))
            error = refusal(engine)
            assert error is None or (error.hint and error.message.startswith(str(sidecar_path(engine))))
            found += [value] if error is None else []
        assert found == [value for value in WRONG if json.dumps(value) in map(json.dumps, fine)], name


def test_every_key_must_be_there_and_others_are_passed_over(engine: Path) -> None:
    sidecar = values(engine)
    for key in sidecar:
        sidecar_path(engine).write_text(json.dumps({k: v for k, v in sidecar.items() if k != key}))
        if key in LATER:
            assert getattr(read_sidecar(engine).description, key) == LATER[key]
            continue
        with pytest.raises(ArtifactError, match=f"it has no {key}"):
            read_sidecar(engine)
    later = {
        key: {**value, "later": [{}]} if isinstance(value, dict) else value for key, value in sidecar.items()
    }
    later |= {
        "files": sidecar["files"],
        "tools": sidecar["tools"],
        "recipe": sidecar["recipe"],
        "later": {"a": 1},
    }
    sidecar_path(engine).write_text(json.dumps(later))
    assert read_sidecar(engine).description.weights == DESCRIPTION.weights


def test_a_message_names_the_key_and_its_value(engine: Path) -> None:
    sidecar_path(engine).write_text(json.dumps({**values(engine), "precision": 8}))
    with pytest.raises(ArtifactError) as caught:
        open_artifact(engine)
    assert caught.value.message == f"{sidecar_path(engine)} is damaged: precision must be a string, is 8"
    assert caught.value.hint == "Make the artifact again."


MAPS = {"pooled": False, "maps": [0, 3], "classes": 0}


@pytest.mark.parametrize(
    ("task", "changes", "why"),
    [
        ("features", {}, "a vector"),
        ("classify", MAPS, "maps alone"),
        ("embed", MAPS, "maps alone"),
        ("regress", {"classes": 0}, "no classes"),
        ("multilabel", {"maps": [3]}, "maps"),
        ("embed", {"classes": 0, "maps": [0, 3]}, "more than one map"),
        ("features", MAPS, None),
        ("embed", {"classes": 0, "maps": [3]}, None),
        ("embed", {}, None),  # whose head is a projection
    ],
)
def test_a_task_fits_its_architecture_or_is_refused(
    engine: Path, task: str, changes: dict[str, Any], why: str | None
) -> None:
    sidecar = values(engine)
    sidecar |= {"task": task, "architecture": sidecar["architecture"] | changes}
    sidecar_path(engine).write_text(json.dumps(sidecar))
    error = refusal(engine)
    said = f"is damaged: task must not be {task} of an architecture with {why}"
    assert (error is None) == (why is None)
    assert error is None or said in error.message


def test_the_shape_has_a_key_for_each_field_of_a_description() -> None:
    def names(kind: Any) -> Iterator[str]:
        return (field.name for field in fields(kind))

    shape = set(SidecarShape.model_fields)
    assert shape == {"format", "sha256", "files", "tools", "command", *names(Description)}


@pytest.mark.parametrize("name", ["a\nb.xml", "x" * 200 + ".xml", "a\\b.xml"], ids=ascii)
def test_nothing_is_written_under_a_name_that_no_reader_takes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="must be a plain name") as caught:
        write_artifact(tmp_path / name, DESCRIPTION, lambda file: file.write_bytes(b"x") and None)
    assert "another name with -o" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
