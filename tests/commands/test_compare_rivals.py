"""compare --rivals: what users of other libraries get, in the table of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models import Models

from convnext_edge import compare
from convnext_edge.commands.compare.race import tables
from convnext_edge.commands.compare.result import Compare
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.kept_answers import KeptAnswers

RIVALS = ["eager", "NNCF f32", "static channel", "dyn. MatMul", "Quark CNN"]


@pytest.fixture(scope="module")
def known() -> list[int]:
    """How many images each comparison, one after the other, did not ask the reference for."""
    return []


@pytest.fixture(scope="module")
def found(
    models: Models, photos: Path, tmp_path_factory: pytest.TempPathFactory, known: list[int]
) -> Iterator[Compare]:
    """With rivals of the ordinary environment, and one whose environment is not there."""
    folder = tmp_path_factory.mktemp("rivals")
    models.copy_exported(folder)
    keep = KeptAnswers.keep

    def noted(answers: KeptAnswers) -> None:
        known.append(answers.known)
        keep(answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeptAnswers, "keep", noted)
        yield compare(
            calib=str(photos),
            data=str(photos),
            methods=["fp32"],
            samples=4,
            limit=8,
            runs=3,
            workspace=folder,
            only_rivals=RIVALS,
            rival_environments=folder / "none",
        )


def test_the_reference_answers_each_image_once(found: Compare, known: list[int]) -> None:
    """To the first engine of ours; the second one and the rivals are held against what it said."""
    assert len(found.rows) == 2
    assert known == [0, 8, 8]


def test_ours_and_rivals_are_rows_of_one_table(found: Compare) -> None:
    assert [(row.name, row.runtime, row.ours) for row in found.rivals] == [
        ("ours fp32", "openvino", True),
        ("ours fp32", "onnxruntime", True),
        ("eager", "torch", False),
        ("NNCF f32", "openvino", False),
        ("static channel", "onnxruntime", False),
        ("dyn. MatMul", "onnxruntime", False),
        ("Quark CNN", "onnxruntime", False),
    ]


def test_each_rival_is_measured_as_ours_are(found: Compare) -> None:
    *worked, missing = found.rivals
    for row in worked:
        assert row.failed is None
        assert row.agreement is not None
        assert None not in (row.sqnr_db, row.p50_ms, row.p99_ms, row.throughput_ips, row.seconds, row.version)
        assert row.bytes
        assert (row.against is None) == row.ours
    assert missing.failed is not None
    assert missing.failed.startswith("amd-quark is not installed")


def test_closeness_is_that_of_the_precision(found: Compare) -> None:
    by_name = {row.name: row.sqnr_db or 0.0 for row in found.rivals if not row.ours and not row.failed}
    assert by_name.pop("eager") > 90  # the reference in another process: at most its threads differ
    assert all(5 < sqnr < 60 for sqnr in by_name.values())  # eight bits, of a model with random weights


def test_ours_answer_as_validate_says(found: Compare) -> None:
    for row, own in zip(found.rows, found.rivals, strict=False):
        assert own.sqnr_db == pytest.approx(row["sqnr_db"], abs=0.5)


def test_the_tables_fit_a_terminal_and_the_json_has_the_rows(found: Compare) -> None:
    shown = tables(found.rivals)
    assert shown in found.summary()
    assert max(map(len, shown.splitlines())) <= 80
    assert "Quark CNN in onnxruntime failed: amd-quark is not installed" in " ".join(shown.split())
    rows = json.loads(json.dumps(found.to_json()))["rivals"]
    assert [row["name"] for row in rows] == [row.name for row in found.rivals]
    assert {"drop_ci95_points", "command", "source", "failed", "against"} <= rows[0].keys()


def test_a_name_that_is_none_and_a_device_are_refused(photos: Path) -> None:
    with pytest.raises(UsageError, match="'nccf' is no rival"):
        compare(calib=str(photos), data=str(photos), only_rivals=["nccf"])
    with pytest.raises(UsageError, match="run on this machine"):
        compare(calib=str(photos), data=str(photos), rivals=True, on="ssh://a@b")
