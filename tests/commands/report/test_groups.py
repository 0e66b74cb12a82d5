"""Which rows stand together on the page, and what each is called."""

from __future__ import annotations

from typing import Any

from support.report_rows import record, row

from convnext_edge.commands.report.details import reference_of
from convnext_edge.commands.report.groups import letters, make_groups
from convnext_edge.commands.report.table import Cell, columns_of_task, sqnr


def names(*rows: dict[str, Any]) -> list[str]:
    (group,) = make_groups(rows, [])
    return [line.name for line in group.lines]


def test_models_of_other_weights_or_sizes_never_share_a_headline() -> None:
    rows = [row(weights=64 * "a"), row(weights=64 * "b"), row(weights=64 * "a", resolution="384")]
    titles = [group.title for group in make_groups(rows, [])]
    assert titles == [
        "tiny · 224 px · weights aaaaaaaa",
        "tiny · 384 px · weights aaaaaaaa",
        "tiny · 224 px · weights bbbbbbbb",
    ]


def test_one_model_under_two_names_is_one_group() -> None:
    (group,) = make_groups([row(), row(model="renamed", file="renamed.xml")], [])
    assert len(group.lines) == 2


def test_results_of_an_early_version_stand_by_their_name() -> None:
    early = [{key: value for key, value in row(model=name).items() if key != "weights"} for name in "ab"]
    assert [group.model for group in make_groups(early, [])] == ["a", "b"]


def test_rows_are_told_apart_by_recipe_then_images_then_file() -> None:
    wide = {"activation": "uint16"}
    assert names(row(), row(file="b.xml", recipe_name="mine", changes=wide, precision="w8a16")) == [
        "ptq · openvino",
        "ptq w8a16 · mine (activation = uint16) · openvino",
    ]
    assert names(row(), row(data="out/photos")) == ["ptq · openvino · demo", "ptq · openvino · photos"]
    assert names(row(), row(file="b.xml")) == [
        "ptq · openvino · demo · a.xml",
        "ptq · openvino · demo · b.xml",
    ]
    assert len(set(names(*[row() for _ in range(3)]))) == 3


def test_sensitivity_belongs_to_the_group_of_its_model() -> None:
    ranked = record("sensitivity", {"target": "openvino", "layers": []}, weights=64 * "b")
    first, second = make_groups([row(weights=64 * "a")], [ranked])
    assert (first.sensitivities, second.sensitivities, second.lines) == ((), (ranked,), ())


def test_letters_go_on_behind_z() -> None:
    assert [letters(number) for number in (0, 25, 26, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]


def test_what_the_reference_of_a_detector_gets_right_is_told() -> None:
    metrics = {"box_ap_reference": 0.46, "mask_ap_reference": 0.4175, "box_ap": 0.45}
    detector = row(task="detect", metrics=metrics, reference_top1=None)
    (group,) = make_groups([detector], [])
    assert "FP32 PyTorch: AP of boxes 46.00%, AP of masks 41.75%" in reference_of(group)


def test_the_table_of_a_detector_has_each_precision_above_that_of_fp32() -> None:
    metrics = {"box_ap_reference": 0.4978, "box_ap": 0.4992, "drop_points": 0.03, "boxes_sqnr_db": 33.7}
    (precision,) = columns_of_task("detect", [{"metrics": metrics}])
    assert (precision.below, precision.cell({"metrics": metrics})) == ("FP32", Cell("49.92%", "49.78%"))


def test_the_sqnr_of_boxes_scores_and_masks_stands_in_one_column_that_is_not_cut_off() -> None:
    metrics = {"boxes_sqnr_db": 33.7, "scores_sqnr_db": 25.9, "masks_sqnr_db": None}
    told = row(task="detect", metrics=metrics, sqnr_db=25.9)
    assert sqnr(told) == Cell("25.9 dB", "boxes 33.7, scores 25.9")
    assert sqnr(row(task="features", metrics=metrics, sqnr_db=25.9)) == Cell("25.9 dB")


def test_images_of_which_nothing_is_told_end_without_a_colon() -> None:
    detector = row(task="detect", metrics={}, reference_top1=None)
    (group,) = make_groups([detector], [])
    assert not reference_of(group).endswith(": ")
