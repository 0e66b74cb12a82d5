"""quantize: recipes and methods, the same file every time, and refusals before the work begins."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.int8_graphs import DEPTHWISE, MULTIPLICATIONS, PAIR_LIMIT, POINTWISE, load, pair_sums, weights
from support.models import CHECKPOINT, CHECKPOINT_V2, RESOLUTION, Models

from convnext_edge import build, export, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ImageSetError, QuantizationError, RecipeError, UsageError
from convnext_edge.images.opening import open_image_set
from convnext_edge.onnx_graph import tracing

# Recipes


@pytest.fixture(scope="module")
def changed(models: Models, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An INT8 file of a recipe with all codes, whose head and first blocks stay float."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = folder / "mine.toml"
    recipe.write_text('weight_scale = "full"\nrange = "minmax"\nkeep_float = ["head"]\n')
    made = quantize(
        models.exported(),
        calib=str(photos),
        samples=4,
        recipe=recipe,
        keep_float=["stages.*.blocks.0.*"],
        timing=False,
        workspace=folder,
    )
    return made.artifact


def test_keep_float_of_the_recipe_and_of_the_command_add_up(changed: Path) -> None:
    description = open_artifact(changed).description
    kept = {"head", *(name for name in POINTWISE if ".blocks.0." in name)}
    assert kept < set(description.float_layers)
    assert set(description.quantized_layers) == MULTIPLICATIONS - kept
    assert dict(weights(load(changed))).keys() == MULTIPLICATIONS - kept


def test_the_name_tells_the_recipe_and_that_options_changed_it(changed: Path) -> None:
    assert re.fullmatch(r"timm_v1-int8-recipe-mine-[0-9a-f]{6}-openvino\.onnx", changed.name)


def test_the_recipe_is_saved_with_the_model(changed: Path) -> None:
    recipe = open_artifact(changed).description.recipe
    assert recipe is not None
    assert recipe["weight_scale"] == "full"
    assert recipe["range"] == "minmax"
    assert recipe["keep_float"] == ["head", "stages.*.blocks.0.*"]
    assert recipe["weight_bits"] == 8, "what the file does not change is the target's"


def test_the_full_scale_uses_all_codes_and_may_overflow(changed: Path) -> None:
    """What the default avoids does happen without it."""
    assert max(pair_sums(load(changed)).values()) > PAIR_LIMIT
    for name, rows in weights(load(changed)):
        assert np.abs(rows).reshape(len(rows), -1).max(1).min() > 120, name


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("values", ["histogram", "percentile", "mse"])
def test_each_choice_of_ranges_gives_a_faithful_model(
    models: Models, photos: Path, tmp_path: Path, values: str
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f'range = "{values}"\nweight_bits = 7\n')
    made = quantize(
        models.exported(),
        calib=str(photos),
        samples=16,
        recipe=recipe,
        timing=False,
        output=tmp_path / "int8.onnx",
        workspace=models.workspace,
    )
    found = validate(made.artifact, target="onnxruntime", data=str(photos), workspace=models.workspace)
    assert found.sqnr_db is not None
    assert 25 < found.sqnr_db < 60
    assert open_artifact(made.artifact).description.precision == "w7a8"


# Methods


def test_weights_of_nncf_cannot_overflow_either(models: Models) -> None:
    sums = pair_sums(load(models.quantized("onnxruntime", "nncf")))
    assert sums.keys() == MULTIPLICATIONS - {"head"}
    assert max(sums.values()) <= PAIR_LIMIT


@pytest.mark.parametrize(("method", "floor"), [("ptq", 25), ("nncf", 20), ("ort", 10)])
def test_every_method_makes_an_artifact_that_validate_takes(
    models: Models, photos: Path, method: str, floor: float
) -> None:
    path = models.quantized("onnxruntime", method)  # type: ignore[arg-type]
    found = validate(path, data=str(photos), workspace=models.workspace)
    assert found.images == 40
    assert found.sqnr_db is not None
    assert found.sqnr_db > floor
    assert open_artifact(path).description.method == method


def test_nncf_keeps_a_stem_that_reads_raw_bytes_float(models: Models) -> None:
    description = open_artifact(models.quantized("openvino", "nncf", "uint8")).description
    assert set(description.quantized_layers) == MULTIPLICATIONS
    assert set(description.float_layers) == {"stem", *DEPTHWISE}


def test_onnxruntimes_own_method_quantizes_every_layer(models: Models) -> None:
    description = open_artifact(models.quantized("onnxruntime", "ort")).description
    assert len(description.quantized_layers) == 1 + len(MULTIPLICATIONS) + len(DEPTHWISE)
    assert description.float_layers == ()


# The result and the sidecar


def test_the_sidecar_says_what_the_file_was_made_from(models: Models, photos: Path) -> None:
    artifact = open_artifact(models.quantized())
    description = artifact.description
    images = open_image_set(str(photos), split="calibration").subset(16, seed=0)
    assert description.parent == open_artifact(models.exported()).link
    assert description.weights == open_artifact(models.workspace / "timm_v1.safetensors").link
    assert description.calibration is not None
    assert (description.calibration.name, description.calibration.images) == (photos.name, 16)
    assert description.calibration.digest == images.digest
    assert description.calibration_hashes == tuple(digest[:16] for digest in images.hashes)
    assert (description.precision, description.target, description.method) == ("int8", "openvino", "ptq")
    assert description.preprocessing.resolution == RESOLUTION


def test_the_same_inputs_give_the_same_bytes(
    models: Models, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = models.quantized().read_bytes()
    # traced again: not what support/quick_export.py remembers
    monkeypatch.setattr(tracing, "trace", tracing.trace.__wrapped__)  # type: ignore[attr-defined]
    start = export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=tmp_path).artifact
    again = quantize(start, calib=str(photos), samples=16, timing=False, workspace=tmp_path).artifact
    assert again.name == models.quantized().name
    assert again.read_bytes() == expected


@pytest.mark.slow
def test_a_checkpoint_alone_is_enough(photos: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "empty"
    made = quantize(checkpoint=CHECKPOINT, calib=str(photos), samples=2, timing=False, workspace=workspace)
    assert set(made.quantized_layers) == MULTIPLICATIONS
    assert made.bytes == made.artifact.stat().st_size
    assert made.calibration_sqnr_db is not None
    assert 20 < made.calibration_sqnr_db < 60
    assert made.warnings == ("2 calibration images are few: take 256",)
    assert (made.gates, made.passed) == (("calibration",), True)
    found = validate(made.artifact, data=str(photos), limit=4, workspace=workspace)
    assert found.images == 4


def test_the_newest_exported_model_is_taken_where_none_is_named(
    models: Models, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    first = export(checkpoint=CHECKPOINT, resolution=32, workspace=tmp_path).artifact
    made = quantize(calib=str(photos), samples=2, timing=False, workspace=tmp_path)
    assert f"taking {first}, the newest exported model of the workspace" in caplog.text
    assert open_artifact(made.artifact).description.parent == open_artifact(first).link


# Refusals: all before the work begins


def refusal(kind: type[Exception], models: Models, photos: Path, folder: Path, **options: object) -> str:
    given = {"model": models.exported(), "calib": str(photos), "samples": 4, **options}
    with pytest.raises(kind) as caught:
        quantize(**given, output=folder / "int8.onnx", workspace=models.workspace)  # type: ignore[arg-type]
    assert not (folder / "int8.onnx").exists()
    return str(caught.value)


def test_a_pattern_that_no_layer_has_is_refused_with_real_names(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    said = refusal(QuantizationError, models, photos, tmp_path, keep_float=["head", "block7.*"])
    assert "keep_float 'block7.*' matches no layer" in said
    assert re.search(r"stages\.0\.blocks\.0\.\w+", said)


def test_a_recipe_that_leaves_nothing_to_quantize_is_refused(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    assert "nothing to quantize" in refusal(QuantizationError, models, photos, tmp_path, keep_float=["*"])


def test_an_unknown_key_of_a_recipe_is_refused(models: Models, photos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('ranges = "mse"\n')
    said = refusal(RecipeError, models, photos, tmp_path, recipe=recipe)
    assert "unknown key 'ranges'" in said
    assert "keep_float" in said, "the known keys are listed"


def test_more_samples_than_images_are_refused(models: Models, photos: Path, tmp_path: Path) -> None:
    said = refusal(ImageSetError, models, photos, tmp_path, samples=41)
    assert f"41 images asked of {photos.name}, which has 40" in said


def test_a_model_that_is_quantized_already_is_refused(models: Models, photos: Path, tmp_path: Path) -> None:
    model = models.quantized()
    said = refusal(QuantizationError, models, photos, tmp_path, model=model)
    assert f"{model} is int8" in said
    assert "already" in said


def test_an_engine_is_refused(models: Models, photos: Path, tmp_path: Path) -> None:
    engine = models.engine("openvino", models.quantized())
    assert "(engine) already" in refusal(QuantizationError, models, photos, tmp_path, model=engine)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checkpoint": CHECKPOINT}, "exclude each other"),
        ({"method": "ort", "keep_float": ["head"]}, "takes no recipe"),
        ({"target": "tensorflow"}, "unknown target 'tensorflow'"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    models: Models, photos: Path, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    assert said in refusal(UsageError, models, photos, tmp_path, **options)


# Another workspace


def test_what_is_made_in_another_workspace_finds_its_weights_there(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    made = quantize(models.exported(), calib=str(photos), samples=4, timing=False, workspace=tmp_path)
    engine = build(made.artifact, workspace=tmp_path).engine
    assert validate(engine, data=str(photos), limit=2, workspace=tmp_path).images == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_weights_that_are_found_already_are_not_copied(models: Models, tmp_path: Path) -> None:
    output = models.exported().with_name("beside.xml")
    made = build(models.exported(), target="openvino", output=output, workspace=tmp_path)
    kept = [path.name for path in tmp_path.glob("*.safetensors")]
    for name in (*made.files, "beside.xml.json"):  # other tests take the newest of that folder
        output.with_name(name).unlink()
    assert not kept


def test_onnx_runtimes_method_takes_the_second_generation_too(models: Models) -> None:
    model = models.quantized("onnxruntime", "ort", checkpoint=CHECKPOINT_V2)
    assert open_artifact(model).description.quantized_layers


def test_an_unknown_method_is_wrong_usage(models: Models, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method 'magic' is none of its choices"):
        quantize(
            models.exported(),
            calib=photos,
            samples=2,
            method="magic",  # type: ignore[arg-type]
            output=tmp_path / "int8.onnx",
            workspace=models.workspace,
        )
