"""What the page says to ship: decided by intervals, and not where a figure is not to be relied on."""

from __future__ import annotations

from typing import Any

from support.report_rows import CHECKED, TIMED, record, row

from convnext_edge.commands.report.groups import make_groups
from convnext_edge.commands.report.verdict import Verdict, loss_of, verdicts
from convnext_edge.commands.rows import join_rows


def verdict(*rows: dict[str, Any]) -> Verdict:
    (group,) = make_groups(rows, [])
    (found,) = verdicts(group)
    return found


FP32 = row(file="fp32.xml", method="fp32", precision="fp32", milliseconds=15.0, drop_points=0.0,
           drop_ci95_points=[0.0, 0.0])  # fmt: skip


def test_the_fastest_that_keeps_99_percent_of_the_accuracy_is_shipped_with_its_intervals() -> None:
    """1 % of 80 % top-1 are 0.8 points: +0.5 at the worst is less."""
    found = verdict(FP32, row(), row(file="slow.xml", milliseconds=8.0))
    assert (found.decision, found.file) == ("ship", "a.xml")
    for text in (
        "4.00x as fast",
        "3.80 to 4.20",
        "+0.20 points",
        "-0.10 to +0.50",
        "10,000 images of demo",
        "0.80",
    ):
        assert text in found.sentence


def test_one_that_is_faster_and_loses_more_is_not_shipped() -> None:
    bad = row(file="bad.xml", milliseconds=2.0, drop_points=1.5, drop_ci95_points=[1.1, 1.9])
    assert verdict(bad, row()).file == "a.xml"
    alone = verdict(bad)
    assert (alone.decision, alone.file) == ("none", "bad.xml")
    assert "+1.50 points of top-1 (95 %: +1.10 to +1.90)" in alone.sentence


def test_gates_go_before_the_tolerance() -> None:
    tight = row(gates=["drop"], passed=False)
    assert verdict(tight).decision == "none"
    wide = row(gates=["drop"], drop_points=1.5, drop_ci95_points=[1.1, 1.9])
    assert verdict(wide).decision == "ship"
    assert "its gates are met (drop)" in verdict(wide).sentence


def test_an_engine_that_loses_too_much_on_one_set_is_not_shipped_for_another() -> None:
    lost = {"drop_points": 9.0, "drop_ci95_points": [8.0, 10.0]}
    found = verdict(row(data="easy"), row(data="hard", **lost), row(file="slow.xml", milliseconds=9.0))
    assert (found.decision, found.file) == ("ship", "slow.xml")
    alone = verdict(row(data="easy"), row(data="hard", **lost))
    assert alone.decision == "none"
    assert "+9.00 points of top-1" in alone.sentence
    assert "images of hard" in alone.sentence


def test_a_gate_on_speed_is_named_where_it_is_not_met_and_allows_no_loss() -> None:
    """What `benchmark` decided is in the row of `validate`, too."""
    slow = {**TIMED, "gates": ["speed"], "passed": False}
    (found,) = join_rows([record("validate", {**CHECKED, "gates": ["drop"]}), record("benchmark", slow)])
    assert (found["gates"], found["unmet"], found["passed"]) == (["drop", "speed"], ["speed"], False)
    assert "does not meet its gates (speed)" in verdict(found).sentence
    lost = {**CHECKED, "drop_points": 9.0, "drop_ci95_points": [8.0, 10.0]}
    (fast,) = join_rows([record("validate", lost), record("benchmark", {**slow, "passed": True})])
    assert verdict(fast).decision == "none"


def test_too_few_images_decide_nothing_and_how_many_would_is_said() -> None:
    """By hand: the interval is 1.8 wide on one side and may be 0.6: 9 times the 100 images."""
    few = row(images=100, drop_points=0.2, drop_ci95_points=[-1.6, 2.0])
    found = verdict(few)
    assert found.decision == "undecided"
    assert "about 900 images would tell" in found.sentence


def test_without_labels_the_same_answers_decide() -> None:
    bare = dict.fromkeys(("reference_top1", "candidate_top1", "drop_points", "drop_ci95_points"))
    close = row(**bare, agreement=0.995, agreement_ci95=[0.991, 0.998])
    assert verdict(close).decision == "ship"
    far = row(**bare, agreement=0.9, agreement_ci95=[0.88, 0.92])
    assert verdict(far).decision == "none"
    loss = loss_of(far)
    assert loss is not None
    assert [round(value, 6) for value in (loss.points, loss.least, loss.most)] == [10, 8, 12]


def test_times_of_a_busy_machine_decide_nothing() -> None:
    busy = row(reliable=False, doubt="other processes took 2 of 2 CPUs")
    found = verdict(busy)
    assert (found.decision, found.file) == ("undecided", "a.xml")
    assert "timed on a quiet machine (other processes took 2 of 2 CPUs)" in found.sentence
    sure = verdict(busy | {"file": "busy.xml"}, row(milliseconds=9.0))
    assert (sure.decision, sure.file) == ("ship", "a.xml"), "sure ones go first"
    assert "; not compared, as they were timed on a busy machine: busy.xml." in sure.sentence
    assert "not compared" not in verdict(row(), row(milliseconds=9.0)).sentence


def test_int8_that_is_no_faster_than_fp32_is_not_shipped() -> None:
    found = verdict(FP32 | {"candidate_ms": row(milliseconds=3.0)["candidate_ms"]}, row())
    assert (found.decision, found.file) == ("ship", "fp32.xml")
    assert "no INT8 engine that passes is faster" in found.sentence


def test_what_nobody_validated_or_timed_is_not_shipped() -> None:
    assert "nobody validated it" in verdict(row(checked=False, task="classify")).sentence
    assert verdict(row(timed=False)).decision == "none"
    assert "not to be relied on: odd labels" in verdict(row(warnings=["odd labels."])).sentence


def test_each_machine_has_a_verdict_of_its_own() -> None:
    (group,) = make_groups([row(), row(cpu="another", file="b.xml")], [])
    assert [(found.file, found.setting) for found in verdicts(group)] == [
        ("a.xml", "a CPU, 1 thread, batch 1"),
        ("b.xml", "another, 1 thread, batch 1"),
    ]
