"""Where values are in charts, by arithmetic by hand."""

from __future__ import annotations

import pytest
from support.report_rows import row

from convnext_edge.commands.report.charts import LogScale, Scale, histogram_bars
from convnext_edge.commands.report.groups import make_groups
from convnext_edge.commands.report.scatter import pareto, scatters
from convnext_edge.commands.report.strips import strips


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.0, 30.0), (0, 10, 20, 30)),
        ((96.2, 99.9), (96, 97, 98, 99, 100)),
        ((-0.65, 1.63), (-1, 0, 1, 2)),
        ((99.871, 99.871), (99.87, 99.875)),
        ((2.0, 2.0), None),
    ],
)
def test_ticks_are_round_and_span_the_values(
    values: tuple[float, float], ticks: tuple[float, ...] | None
) -> None:
    scale = Scale.over(values)
    assert scale.ticks[0] <= min(values)
    assert max(values) <= scale.ticks[-1] + 1e-12
    assert len(scale.ticks) >= 2
    if ticks is not None:
        assert scale.ticks == pytest.approx(ticks)


def test_ticks_are_written_with_the_digits_that_tell_them_apart() -> None:
    assert [tick.text for tick in Scale((0.0, 0.5, 1.0)).marks()] == ["0.0", "0.5", "1.0"]
    assert [(tick.at, tick.text) for tick in Scale((0.0, 20.0, 40.0)).marks()] == [
        (0, "0"),
        (50, "20"),
        (100, "40"),
    ]


def test_equal_ratios_are_equally_long_on_a_logarithmic_axis() -> None:
    scale = LogScale.over([1.0, 16.0])
    assert [scale(value) for value in (1, 2, 4, 16)] == [0, 25, 50, 100]


def test_bars_of_a_histogram_are_where_its_edges_are() -> None:
    first, second = histogram_bars([0, 5, 10, 20], [1, 0, 4], Scale((0.0, 20.0)))
    assert (first.at, first.width, first.height) == (0, 25, 25)
    assert (second.at, second.width, second.height) == (50, 50, 100)


def test_the_front_has_what_no_other_beats() -> None:
    assert pareto([5.0, 3.0, 4.0, 9.0], [80.0, 70.0, 69.0, 81.0]) == [1, 0, 3]
    assert pareto([5.0, 5.0], [80.0, 81.0]) == [1]


def test_points_are_at_their_latency_and_accuracy_and_as_large_as_their_files() -> None:
    big = row(file="fp32.xml", method="fp32", precision="fp32", milliseconds=20.0, bytes=4 * 28 * 2**20,
              candidate_top1=0.8, drop_points=0.0, drop_ci95_points=[0.0, 0.0])  # fmt: skip
    (group,) = make_groups([big, row()], [])
    (chart,) = scatters(group, {"A": [], "B": ["convnext-edge build"]})
    fp32, int8 = chart.points
    assert (fp32.x, int8.x) == (100, 25), "of 0 to 20 ms"
    assert int8.y > fp32.y, "counted from the top"
    assert fp32.radius == 2 * int8.radius, "four times the area"
    assert int8.text.splitlines()[1:] == ["a.xml", "28.0 MiB, 5.00 ms, top-1 79.80%", "convnext-edge build"]
    assert len(chart.front) == 2
    assert chart.reference is not None


def test_models_that_saw_other_images_are_in_other_charts() -> None:
    (group,) = make_groups([row(), row(file="b.xml", images=50)], [])
    charts = list(scatters(group, {"A": [], "B": []}))
    assert [[point.key for point in chart.points] for chart in charts] == [["A"], ["B"]]
    assert "10,000 images of demo" in charts[0].setting
    assert "50 images of demo" in charts[1].setting


def test_intervals_are_drawn_where_they_are() -> None:
    (group,) = make_groups([row()], [])
    lost = next(chart for chart in strips(group) if chart.title == "Top-1 lost")
    (mark,) = lost.marks
    assert [tick.text for tick in lost.ticks] == ["-0.2", "0.0", "0.2", "0.4", "0.6"]
    assert (mark.low, mark.at, mark.high, lost.rule) == (12.5, 50, 87.5, 25)


def test_latencies_of_a_busy_machine_are_marked() -> None:
    (group,) = make_groups([row(reliable=False, doubt="busy")], [])
    charts = {chart.title: chart for chart in strips(group)}
    assert "busy" in charts["Times as fast as FP32 PyTorch"].marks[0].doubt
    (mark,) = charts["Latency of single calls: how many took how long"].marks
    assert [bar.height for bar in mark.bars] == pytest.approx([100 / 3, 100, 200 / 30])
    assert "busy" in mark.doubt
