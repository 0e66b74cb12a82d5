"""Recipes: single keys of a target's recipe changed by a TOML file, and nothing else accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_edge.errors import RecipeError
from convnext_edge.quantization.recipe import Recipe, matches, read_recipe


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_changes_the_keys_it_has_and_no_other(tmp_path: Path) -> None:
    base = Recipe(activation="int8", depthwise=True)
    path = written(tmp_path, 'range = "percentile"\noutside = 1e-4\nkeep_float = ["head", "stages.3.*"]\n')
    assert read_recipe(path, base) == Recipe(
        activation="int8",
        depthwise=True,
        range="percentile",
        outside=1e-4,
        keep_float=("head", "stages.3.*"),
    )


def test_a_pattern_finds_a_layer_by_the_name_of_any_that_became_part_of_it() -> None:
    both = "decoder.rpn.objectness+deltas.3"
    for pattern in (both, "decoder.rpn.objectness.3", "decoder.rpn.deltas.*", "*.rpn.*", "decoder.rpn.obj*"):
        assert matches(both, [pattern])
    for pattern in ("decoder.rpn.deltas.2", "decoder.rpn.deltas", "decoder.box.*", "deltas.3"):
        assert not matches(both, [pattern])


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, "# nothing\n"), Recipe(weight_bits=7)) == Recipe(weight_bits=7)


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(
        activation="int8",
        range="mse",
        outside=1e-3,
        weight_bits=7,
        weight_scale="full",
        depthwise=True,
        keep_float=("head",),
    )
    assert Recipe().with_changes(recipe.to_json(), source="sidecar") == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ranges = "mse"', "unknown key 'ranges'"),
        ('range = "entropy"', "range = 'entropy' is not one of 'histogram', 'minmax', 'percentile', 'mse'"),
        ('activation = "int16"', "activation = 'int16' is not one of"),
        ("weight_bits = 8.0", "weight_bits = 8.0 is not a whole number"),
        ("weight_bits = true", "weight_bits = True is not a whole number"),
        ("weight_bits = 1", "weight_bits = 1 is out of range"),
        ("weight_bits = 9", "weight_bits = 9 is out of range"),
        ("outside = 0.5", "outside = 0.5 is out of range"),
        ("outside = -1", "outside = -1 is out of range"),
        ("outside = nan", "outside = nan is out of range"),
        ("depthwise = 1", "depthwise = 1 is not true or false"),
        ('keep_float = "head"', "keep_float = 'head' is not a list of strings"),
        ("keep_float = [3]", "keep_float = [3] is not a list of strings"),
        ("[range]\nmse = true", "range = {'mse': True} is not one of"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(written(tmp_path, text), Recipe())
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"range = ", b"\xff\xfe"], ids=["cut short", "no text"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.toml is not TOML"):
        read_recipe(path, Recipe())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*none\.toml: No such file"):
        read_recipe(tmp_path / "none.toml", Recipe())
