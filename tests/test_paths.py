"""A path may be a `str` in every function of the library, and `Path` and `str` mean the same.

The other tests give folders of images, and recipes as methods, as text, and all else as a `Path`: here it is
the other way round.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.models import CHECKPOINT, RESOLUTION, Models

import convnext_edge as ce


def test_each_function_takes_text_for_a_path_and_a_path_for_text(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    at, workspace = tmp_path, str(models.workspace)
    (at / "recipe.toml").write_text("smoothing = 0.0\n")
    (at / "labels.txt").write_text("".join(f"class {n}\n" for n in range(10)))
    recipe = str(at / "recipe.toml")
    exported = ce.export(
        checkpoint=str(CHECKPOINT), resolution=RESOLUTION, output=str(at / "a.onnx"), workspace=workspace
    )
    start = str(exported.artifact)
    quantized = ce.quantize(
        start,
        calib=photos,
        samples=4,
        recipe=recipe,
        data_root=str(at),
        output=str(at / "b.onnx"),
        workspace=workspace,
        timing=False,
    )
    built = ce.build(str(quantized.artifact), output=str(at / "c.xml"), workspace=workspace)
    engine = str(built.engine)
    assert built.engine == at / "c.xml"
    checked = ce.validate(engine, data=photos, limit=4, data_root=str(at), workspace=workspace)
    assert checked.images == 4
    assert ce.benchmark(engine, runs=1, threads=1, workspace=workspace).runs == 1
    app = ce.embed(engine, lang="cpp", labels=str(at / "labels.txt"), output=str(at / "app"))
    assert app.directory == at / "app"
    assert ce.report(output=str(at / "r.html"), workspace=workspace).html == at / "r.html"


@pytest.mark.slow(seconds=15)
def test_so_do_those_that_take_long(models: Models, photos: Path, tmp_path: Path) -> None:
    start, workspace = str(models.exported()), str(models.workspace)
    (tmp_path / "recipe.toml").write_text("smoothing = 0.0\n")
    recipe = tmp_path / "recipe.toml"
    tuned = ce.finetune(
        start,
        train=photos,
        calib=photos,
        data=photos,
        steps=1,
        batch=4,
        samples=4,
        recipe=str(recipe),
        output=str(tmp_path / "tuned.onnx"),
        workspace=workspace,
    )
    assert tuned.artifact == tmp_path / "tuned.onnx"
    told = ce.sensitivity(
        start, calib=photos, samples=2, runs=1, recipe=str(recipe), target="torch", workspace=workspace
    )
    assert told.layers
    compared = ce.compare(
        start,
        calib=photos,
        data=photos,
        samples=2,
        limit=4,
        methods=[recipe],
        targets=["onnxruntime"],
        threads=1,
        runs=1,
        workspace=workspace,
    )
    assert len(compared.rows) == 1
    script = ce.build_script(start, output=str(tmp_path / "script"), workspace=workspace)
    assert script.directory == tmp_path / "script"
