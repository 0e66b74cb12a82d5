"""A path may be a `str` in every function of the library, and `Path` and `str` mean the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.models import CHECKPOINT, RESOLUTION, Models

import convnext_edge as ce

AsGiven = Callable[[Path], "str | Path"]


@pytest.mark.parametrize("given", [str, Path], ids=["str", "Path"])
def test_each_function_takes_paths_as_text(
    given: AsGiven, models: Models, photos: Path, tmp_path: Path
) -> None:
    at, photographs, workspace = tmp_path, given(photos), given(models.workspace)
    (at / "recipe.toml").write_text("smoothing = 0.0\n")
    (at / "labels.txt").write_text("".join(f"class {n}\n" for n in range(10)))
    recipe = given(at / "recipe.toml")
    exported = ce.export(
        checkpoint=given(CHECKPOINT), resolution=RESOLUTION, output=given(at / "a.onnx"), workspace=workspace
    )
    start = given(exported.artifact)
    quantized = ce.quantize(
        start,
        calib=photographs,
        samples=4,
        recipe=recipe,
        data_root=given(at),
        output=given(at / "b.onnx"),
        workspace=workspace,
        timing=False,
    )
    built = ce.build(given(quantized.artifact), output=given(at / "c.xml"), workspace=workspace)
    engine = given(built.engine)
    assert built.engine == at / "c.xml"
    checked = ce.validate(engine, data=photographs, limit=4, data_root=given(at), workspace=workspace)
    assert checked.images == 4
    assert ce.benchmark(engine, runs=1, threads=1, workspace=workspace).runs == 1
    app = ce.embed(engine, lang="cpp", labels=given(at / "labels.txt"), output=given(at / "app"))
    assert app.directory == at / "app"
    assert ce.report(output=given(at / "r.html"), workspace=workspace).html == at / "r.html"


@pytest.mark.parametrize("given", [str, Path], ids=["str", "Path"])
def test_so_do_those_that_take_long(given: AsGiven, models: Models, photos: Path, tmp_path: Path) -> None:
    start, photographs, workspace = given(models.exported()), given(photos), given(models.workspace)
    (tmp_path / "recipe.toml").write_text("smoothing = 0.0\n")
    recipe = given(tmp_path / "recipe.toml")
    tuned = ce.finetune(
        start,
        train=photographs,
        calib=photographs,
        data=photographs,
        steps=1,
        batch=4,
        samples=4,
        recipe=recipe,
        output=given(tmp_path / "tuned.onnx"),
        workspace=workspace,
    )
    assert tuned.artifact == tmp_path / "tuned.onnx"
    told = ce.sensitivity(
        start, calib=photographs, samples=2, runs=1, recipe=recipe, target="torch", workspace=workspace
    )
    assert told.layers
    compared = ce.compare(
        start,
        calib=photographs,
        data=photographs,
        samples=2,
        limit=4,
        methods=[recipe],
        targets=["onnxruntime"],
        threads=1,
        runs=1,
        workspace=workspace,
    )
    assert len(compared.rows) == 1
    script = ce.build_script(start, output=given(tmp_path / "script"), workspace=workspace)
    assert script.directory == tmp_path / "script"
