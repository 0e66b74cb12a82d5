"""compare --grid: rows are those of the commands one by one, and a second run goes on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.models import CHECKPOINT, RESOLUTION, Models
from support.readme import PAGES, blocks

from convnext_edge import build, compare, export, quantize, report, validate
from convnext_edge.commands.compare.grid import steps
from convnext_edge.commands.compare.grid.outcome import attempt
from convnext_edge.commands.compare.grid.table import GridCompare
from convnext_edge.errors import ConvNeXtEdgeError, TargetError

pytestmark = pytest.mark.slow(seconds=60)
LIMIT, SAMPLES = 8, 4


def write_grid(folder: Path, photos: Path, **changes: str) -> Path:
    keys = {
        "checkpoints": f'["{CHECKPOINT}"]',
        "resolutions": f"[{RESOLUTION}]",
        "methods": '["fp32", "wide.toml"]',
        "targets": '["openvino", "onnxruntime"]',
        **changes,
    }
    (folder / "wide.toml").write_text('activation = "uint16"\n')
    path = folder / "grid.toml"
    path.write_text(
        "".join(f"{key} = {value}\n" for key, value in keys.items())
        + f'[images]\ncalib = "{photos}"\ndata = "{photos}"\nsamples = {SAMPLES}\nlimit = {LIMIT}\n'
        "[timing]\nruns = 1\n"
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def found(folder: Path, photos: Path, models: Models) -> GridCompare:
    result = compare(grid=write_grid(folder, photos), workspace=folder / "out")
    assert isinstance(result, GridCompare)
    return result


def parts(folder: Path) -> dict[str, tuple[int, int]]:
    stats = {path.name: path.stat() for path in (folder / "out" / "cells").iterdir()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_a_cell_that_a_target_refuses_is_a_row_with_its_reason(found: GridCompare) -> None:
    assert [(row["method"], row["target"], row["failed"] is None) for row in found.rows] == [
        ("fp32", "openvino", True),
        ("wide.toml", "openvino", False),
        ("fp32", "onnxruntime", True),
        ("wide.toml", "onnxruntime", True),
    ]
    failed = found.rows[1]
    assert "target openvino does not run uint16 activations" in failed["failed"]
    assert (failed["model"], failed["resolution"], failed["passed"]) == ("timm_v1", "64", False)
    assert failed["sqnr_db"] is None
    assert failed.keys() >= found.rows[0].keys()
    assert (found.cells, found.failed_cells, found.kept_cells, found.exit_code) == (4, 1, 0, 0)


def test_rows_are_those_of_the_commands_one_by_one(found: GridCompare, tmp_path: Path, photos: Path) -> None:
    exported = export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=tmp_path).artifact
    recipe = tmp_path / "wide.toml"
    recipe.write_text('activation = "uint16"\n')
    model = quantize(
        exported, calib=photos, samples=SAMPLES, target="onnxruntime", recipe=recipe, timing=False,
        output=tmp_path / "timm_v1-recipe-wide-onnxruntime.onnx", workspace=tmp_path,
    ).artifact  # fmt: skip
    engine = build(
        model, target="onnxruntime", output=tmp_path / f"{model.stem}.opt.onnx", workspace=tmp_path
    ).engine
    alone = validate(engine, data=photos, limit=LIMIT, workspace=tmp_path).to_json()
    row = found.rows[3]
    told = {key: value for key, value in alone.items() if key not in ("artifact", "reference_known")}
    assert {key: row[key] for key in told} == told
    assert Path(row["artifact"]).name == engine.name
    assert row["images"] == LIMIT
    assert row["variant"] is None


def test_the_table_tells_models_failures_and_what_was_kept(found: GridCompare) -> None:
    text = found.summary()
    assert "timm_v1, 64 px\n" in text
    assert "4 cells, 1 FAILED" in text
    assert "timm_v1, 64 px: wide.toml on openvino FAILED: recipe: target" in text
    assert max(map(len, text.splitlines())) <= 80
    assert json.loads(json.dumps(found.to_json()))["rows"][3]["method"] == "wide.toml"


def test_a_second_run_does_nothing_again_and_says_so(
    found: GridCompare, folder: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = parts(folder)
    with caplog.at_level("INFO", logger="convnext_edge"):
        again = compare(grid=write_grid(folder, photos), workspace=folder / "out")
    assert parts(folder) == before
    assert "3 of 4: timm_v1, 64 px, fp32 on onnxruntime: taken from the workspace: make, check, time" in (
        caplog.text
    )
    assert isinstance(again, GridCompare)
    assert (again.kept_cells, again.failed_cells) == (3, 1)
    for row, old in zip(again.rows, found.rows, strict=True):
        assert {**row, "kept": old["kept"], "made": old["made"]} == old
        assert row["kept"] == ([] if row["failed"] else ["make", "check", "time"])


def test_what_changed_is_done_again_and_nothing_else(
    found: GridCompare, folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "benchmark", no_work)
    monkeypatch.setattr(steps.Contest, "make_engine", no_work)
    path = write_grid(folder, photos, methods='["fp32"]', targets='["onnxruntime"]')
    path.write_text(path.read_text().replace(f"limit = {LIMIT}", "limit = 4"))
    (row,) = compare(grid=path, workspace=folder / "out").rows
    assert (row["images"], row["kept"], row["failed"]) == (4, ["make", "time"], None)


def test_damaged_parts_and_lost_engines_are_done_again(
    found: GridCompare, folder: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid = write_grid(folder, photos, methods='["wide.toml"]', targets='["onnxruntime"]')
    engine = Path(found.rows[3]["artifact"])
    engine.write_bytes(b"something else")
    (remade,) = compare(grid=grid, workspace=folder / "out").rows
    # made again with the same bytes, it needs not be validated again
    assert (remade["kept"], remade["sha256"]) == (["check", "time"], found.rows[3]["sha256"])
    for path in (folder / "out" / "cells").glob("check-*"):
        path.write_text(path.read_text().replace('"images"', '"pictures"'))
    with caplog.at_level("INFO", logger="convnext_edge"):
        (checked,) = compare(grid=grid, workspace=folder / "out").rows
    assert "is done again" in caplog.text.lower()
    assert (checked["kept"], checked["sqnr_db"]) == (["make", "time"], found.rows[3]["sqnr_db"])


def test_where_all_cells_fail_the_reason_is_raised(folder: Path, photos: Path, tmp_path: Path) -> None:
    grid = write_grid(tmp_path, photos, methods='["wide.toml"]', targets='["openvino"]')
    with pytest.raises(ConvNeXtEdgeError, match="all 1 cells failed, the first one: recipe: target openvino"):
        compare(grid=grid, workspace=folder / "out")


def test_a_fault_in_a_cell_is_its_reason(
    folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = steps.Contest.make_engine

    def fail(contest: Any, method: str, target: str) -> Path:
        if target == "openvino":
            raise RuntimeError("the vendor's own words")
        return usual(contest, method, target)

    monkeypatch.setattr(steps.Contest, "make_engine", fail)
    grid = write_grid(tmp_path, photos, methods='["fp32"]')
    rows = compare(grid=grid, workspace=tmp_path / "out").rows
    assert [row["failed"] for row in rows] == ["RuntimeError: the vendor's own words", None]


def test_models_of_one_name_are_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / CHECKPOINT.name
    copy.write_bytes(CHECKPOINT.read_bytes())
    grid = write_grid(tmp_path, photos, checkpoints=f'["{CHECKPOINT}", "other/{CHECKPOINT.name}"]')
    with pytest.raises(ConvNeXtEdgeError, match="have one name"):
        compare(grid=grid, workspace=tmp_path / "out")


def test_report_shows_the_cells_in_one_group(found: GridCompare, folder: Path) -> None:
    groups = report(workspace=folder / "out", output=folder / "report.json").groups
    assert [(group["model"], group["resolution"]) for group in groups] == [("timm_v1", "64")]
    assert len(groups[0]["rows"]) == 3


def test_the_grid_of_the_documentation_works_as_printed(tmp_path: Path) -> None:
    (printed,) = (text for text in blocks("toml", PAGES["command-line.md"]) if "[images]" in text)
    (tmp_path / "grid.toml").write_text(printed)
    rows = compare(grid=tmp_path / "grid.toml", workspace=tmp_path / "out").rows
    assert [(row["variant"], row["resolution"], row["method"], row["target"]) for row in rows] == [
        ("demo", "32", "fp32", "onnxruntime"),
        ("demo", "32", "ptq", "onnxruntime"),
    ]
    assert [(row["images"], row["failed"], row["runs"]) for row in rows] == [(64, None, 5)] * 2


def no_work(*given: object, **options: object) -> None:
    raise AssertionError("this was done before")


def test_a_failure_keeps_what_helps_against_it() -> None:
    def refuse() -> None:
        raise TargetError("target x needs the package x", hint="Install it: pip install x.")

    told = attempt(refuse).reason
    assert told == "target x needs the package x; Install it: pip install x"
    assert attempt(lambda: 1 / 0).reason == "ZeroDivisionError: division by zero"
