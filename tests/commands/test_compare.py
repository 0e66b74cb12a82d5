"""compare, and report of it: one row an engine, and a page that shows them and needs nothing beside it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.models import Models

from convnext_edge import compare, report, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.commands.compare.result import Compare
from convnext_edge.commands.report.page import make_page
from convnext_edge.commands.rows import join_rows
from convnext_edge.commands.validate.result import Validate
from convnext_edge.errors import ArtifactError, RecipeError, UsageError
from convnext_edge.evaluation import records

LIMIT = 8


@pytest.fixture(scope="module")
def workspace(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the exported model and a recipe that OpenVINO refuses."""
    folder = tmp_path_factory.mktemp("compare")
    models.copy_exported(folder)
    (folder / "wide.toml").write_text('activation = "uint16"\n')
    return folder


@pytest.fixture(scope="module")
def found(workspace: Path, photos: Path) -> Compare:
    return compare(
        calib=str(photos),
        data=str(photos),
        methods=["fp32", str(workspace / "wide.toml")],
        samples=4,
        limit=LIMIT,
        threads=1,
        runs=2,
        workspace=workspace,
    )


# compare


def test_there_is_a_row_for_each_method_on_each_target(found: Compare, workspace: Path) -> None:
    wide = str(workspace / "wide.toml")
    assert [(row["method"], row["target"]) for row in found.rows] == [
        ("fp32", "openvino"),
        ("fp32", "onnxruntime"),
        (wide, "onnxruntime"),
    ]


def test_a_pair_that_is_refused_stops_no_other(found: Compare, workspace: Path) -> None:
    (refused,) = found.refused
    assert (refused.method, refused.target) == (str(workspace / "wide.toml"), "openvino")
    assert "does not run uint16 activations" in refused.reason


def test_a_row_has_what_validate_and_benchmark_say(found: Compare, workspace: Path, photos: Path) -> None:
    for row in found.rows:
        again = validate(Path(row["artifact"]), data=str(photos), limit=LIMIT, workspace=workspace).to_json()
        assert again.pop("reference_known") == again["images"]
        assert {key: row[key] for key in again} == again
        assert row.keys() >= Benchmark.__dataclass_fields__.keys()
        assert row["speedup"] == pytest.approx(
            row["reference_ms"]["p50"] / row["candidate_ms"]["p50"], rel=1e-3
        )
        assert row["bytes"] == open_artifact(Path(row["artifact"])).bytes
    assert [row["precision"] for row in found.rows] == ["fp32", "fp32", "w8a16"]
    assert found.rows[2]["changes"] == {"activation": "uint16"}
    assert Path(found.rows[2]["artifact"]).name == "timm_v1-recipe-wide-onnxruntime.opt.onnx"
    assert json.loads(json.dumps(found.to_json()))["rows"][0]["method"] == "fp32"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"methods": ["magic"]}, UsageError, "'magic' is no method"),
        ({"targets": ["tensorflow"]}, UsageError, "unknown target 'tensorflow'"),
        ({"methods": ["{folder}/wide.toml"], "targets": ["openvino"]}, RecipeError, "does not run uint16"),
    ],
)
def test_where_nothing_can_be_compared_the_reason_is_raised(
    workspace: Path, photos: Path, options: dict[str, list[str]], error: type[Exception], said: str
) -> None:
    given: Any = {key: [name.format(folder=workspace) for name in names] for key, names in options.items()}
    with pytest.raises(error, match=said):
        compare(calib=str(photos), data=str(photos), samples=2, workspace=workspace, **given)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"methods": ["ptq", "missing.toml"]}, RecipeError, "cannot read the recipe missing.toml"),
        ({"methods": ["ptq", "{folder}/typo.toml"]}, RecipeError, "unknown key 'ranges'"),
        ({"methods": ["{folder}/a/mine.toml", "{folder}/b/mine.toml"]}, UsageError, "have one name"),
        ({"threads": 100_000}, UsageError, "--threads 100000 are more than"),
    ],
    ids=["missing", "typo", "one name", "threads"],
)
def test_what_is_wrong_for_every_target_is_said_before_any_work(
    workspace: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    (tmp_path / "typo.toml").write_text('ranges = "mse"\n')
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text("smoothing = 0.0\n")
    methods = [name.format(folder=tmp_path) for name in options.get("methods", ["ptq"])]
    before = set(workspace.iterdir())
    with pytest.raises(error, match=said):
        compare(calib="demo", data="demo", workspace=workspace, **{**options, "methods": methods})
    assert set(workspace.iterdir()) == before


# report


class Page(HTMLParser):
    """tags: all of a page, with their attributes. text: all that is shown."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(found: Compare, workspace: Path) -> Page:
    assert found.rows, "there is something to show"
    return Page(report(workspace=workspace).html)


def test_the_report_has_the_rows_of_the_comparison(found: Compare, workspace: Path, tmp_path: Path) -> None:
    made = report(output=tmp_path / "page.html", workspace=workspace)
    assert made.html == tmp_path / "page.html"
    by_file = {row["file"]: row for row in made.rows}
    assert len(by_file) == len(made.rows) == len(found.rows)
    for row in found.rows:
        shown = by_file[row["file"]]
        # the newest results of the workspace are those of the test above
        known = {key: shown[key] for key in ("method", "reference_known")}
        assert shown == {**row, **known, "folder": ""}


def test_every_figure_is_on_the_page(found: Compare, page: Page) -> None:
    for row in found.rows:
        assert row["target"] in page.text
        assert f"{row['agreement']:.2%}" in page.text
        assert f"{row['speedup']:.2f}x" in page.text
        assert f"{row['sqnr_db']:.1f} dB" in page.text
        assert row["cpu"] in page.text
    (table,) = (tag for tag, _ in page.tags if tag == "table")
    assert sum(tag == "tr" for tag, _ in page.tags) == 1 + len(found.rows), f"a line for each in the {table}"


def test_the_page_needs_nothing_from_outside(page: Page, workspace: Path) -> None:
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe", "object"})
    attributes = {name for _, given in page.tags for name in given}
    assert attributes.isdisjoint({"src", "href", "srcset", "data"})
    text = (workspace / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?://", text)


def test_the_page_suits_light_and_dark(workspace: Path, page: Page) -> None:
    assert page.tags
    text = (workspace / "report.html").read_text(encoding="utf-8")
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text


def test_names_are_shown_and_never_run(found: Compare, tmp_path: Path) -> None:
    row = {**found.rows[0], "model": "<script>alert(1)</script>", "file": '"><b>'}
    path = tmp_path / "page.html"
    path.write_text(make_page([row], []), encoding="utf-8")
    shown = Page(path)
    assert "script" not in {tag for tag, _ in shown.tags}
    assert "<script>alert(1)</script>" in shown.text


# What the workspace keeps


def kept(workspace: Path) -> list[Path]:
    return sorted((workspace / "results").glob("*.json"))


def test_a_newer_result_takes_the_place_of_an_older_one(
    models: Models, photos: Path, workspace: Path, found: Compare
) -> None:
    before = kept(workspace)
    validate(Path(found.rows[0]["artifact"]), data=str(photos), limit=2, workspace=workspace)
    assert kept(workspace) == before
    (row,) = (r for r in report(workspace=workspace).rows if r["file"] == found.rows[0]["file"])
    assert row["images"] == 2
    assert row["speedup"] == found.rows[0]["speedup"]


def record(kind: str, sha256: str, date: str, result: dict[str, Any]) -> records.Record:
    model = {"file": "a.onnx", "sha256": sha256, "method": "ptq"}
    return {"kind": kind, "date": date, "model": model, "result": {"target": "openvino", **result}}


def test_results_of_a_model_that_was_made_anew_do_not_count() -> None:
    old = record("benchmark", "old", "2026-01-01", {"speedup": 9.0, "passed": True})
    new = record("validate", "new", "2026-01-02", {"agreement": 0.5, "passed": False})
    (row,) = join_rows([old, new])
    assert (row["agreement"], row["speedup"], row["passed"]) == (0.5, None, False)
    (row,) = join_rows([old])
    assert (row["agreement"], row["speedup"], row["passed"]) == (None, 9.0, True)


def test_nothing_is_kept_where_there_is_no_workspace(models: Models, photos: Path, tmp_path: Path) -> None:
    artifact = open_artifact(models.quantized())
    result = validate(artifact.path, data=str(photos), limit=2, workspace=models.workspace)
    assert isinstance(result, Validate)
    records.keep("validate", result.to_json(), artifact, Workspace(tmp_path / "absent"))
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_kept_is_no_failure(
    models: Models, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    artifact = open_artifact(models.quantized())
    result = validate(artifact.path, data=str(photos), limit=2, workspace=models.workspace)
    (tmp_path / "results").write_text("a file where the folder should be")
    records.keep("validate", result.to_json(), artifact, Workspace(tmp_path))
    assert "the result is not kept for `report`" in caplog.text


def test_a_workspace_without_results_says_what_makes_some(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no result is kept") as caught:
        report(workspace=tmp_path)
    assert "convnext-edge compare" in caught.value.hint


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "broken.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"broken\.json") as caught:
        report(workspace=tmp_path)
    assert caught.value.hint
