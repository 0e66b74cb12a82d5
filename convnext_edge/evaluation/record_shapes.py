"""What kept results may hold, by type and range, as pydantic compares it: all that `report` shows.

Each key of `validate`, `benchmark` and `sensitivity` has a shape here. One that results of format 1 may lack
has a default.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from convnext_edge.artifacts.shapes import CalibrationShape, FormatShape, RecipeValue
from convnext_edge.evaluation.answer_shapes import TWO, BeyondTop1Shape, CorruptedShape, Points, Whole
from convnext_edge.reading import Count, Line, Sha256, Shape, Share

Time = Annotated[float, Field(gt=0, le=1e9)]  # milliseconds
Duration = Annotated[float, Field(ge=0, le=1e9)]
Ratio = Annotated[float, Field(gt=0, le=1e9)]
Decibels = Annotated[float, Field(ge=-1000, le=1000)]
Metric = Annotated[float, Field(ge=-1e30, le=1e30)]


Quantity = Annotated[float, Field(ge=-1e6, le=1e9)]


class DeviceShape(Shape):
    """Shape of a `DeviceDescription`."""

    url: Line
    name: Line
    machine: Line
    cpu: Line
    isa: list[Line]
    int8_saturates: bool
    kernel: Line
    libc: Line
    governor: Line
    clock_mhz: Quantity | None
    max_clock_mhz: Quantity | None
    temperature_c: Quantity | None
    runner: Line | None
    emulated: bool


class CPUShape(Shape):
    """Shape of a `CPU`, as far as `report` shows it."""

    name: Line
    isa: list[Line]
    int8_saturates: bool | None


class StepShape(Shape):
    """Shape of a `Step` of `artifacts.lineage`."""

    file: str
    command: str


class ModelShape(Shape):
    """Shape of what `model_columns` returns."""

    model: str
    file: str
    sha256: Sha256
    bytes: Count
    method: Line
    precision: Line
    changes: dict[Line, RecipeValue | dict[Line, RecipeValue]]
    weights: Sha256 | None = None
    resolution: Line | None = None
    recipe_name: Line | None = None
    recipe: dict[Line, RecipeValue | dict[Line, RecipeValue]] | None = None
    calibration: CalibrationShape | None = None
    made: list[StepShape] = []
    folder: str | None = None


class RecordShape(FormatShape):
    """Shape of a kept result, whatever the command."""

    kind: Literal["validate", "benchmark", "sensitivity"]
    date: Annotated[str, Field(pattern=r"\A\d{4}-\d\d-\d\dT[\d:.]{5,15}([+-]\d\d:\d\d|Z)\z")]
    command: str
    tools: dict[Line, Line]
    cpu: CPUShape
    model: ModelShape
    result: dict[str, object]


class ValidateShape(Shape):
    """Shape of the result of `validate`."""

    artifact: str
    target: Line
    data: str
    images: Count
    reference_top1: Share | None
    candidate_top1: Share | None
    reference_top5: Share | None
    candidate_top5: Share | None
    drop_points: Points | None
    drop_ci95_points: Annotated[list[Points], TWO] | None
    agreement: Share | None
    agreement_ci95: Annotated[list[Share], TWO] | None
    sqnr_db: Decibels | None
    overlap: Count
    skipped_images: list[str]
    simulated: bool
    passed: bool
    label: str
    class_order: Line | None = None
    reference_top1_other_order: Share | None = None
    warnings: list[str] = []
    gates: list[Line] = []
    task: Line = "classify"
    metrics: dict[Line, Metric | None] = {}
    precision: Line = "fp32"
    device: DeviceShape | None = None
    reference_known: Count = 0
    classes: Count | None = None
    beyond_top1: BeyondTop1Shape | None = None
    corruptions: CorruptedShape | None = None
    sliding_window: bool = False
    data_path: str = ""

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        accuracy = (self.reference_top1, self.candidate_top1, self.reference_top5, self.candidate_top5)
        drop = (self.drop_points, self.drop_ci95_points)
        if len({figure is None for figure in (*accuracy, *drop)}) > 1:
            raise ValueError("it has some figures of top-1 and top-5 without the others")
        agreed = (self.agreement, self.agreement_ci95)
        if (None in agreed) != (self.task != "classify") or len({one is None for one in agreed}) > 1:
            raise ValueError("has an agreement where its task has none, or lacks one")
        return self


class MillisecondsShape(Shape):
    """Shape of `Milliseconds`."""

    p50: Time
    p90: Time
    p99: Time
    min: Time


class HistogramShape(Shape):
    """Shape of a `Histogram`."""

    edges_ms: list[Time]
    counts: list[Count]

    @model_validator(mode="after")
    def _an_edge_more(self) -> Self:
        if len(self.edges_ms) != len(self.counts) + 1:
            raise ValueError("it has not one edge more than counts")
        return self


class ThroughputShape(Shape):
    """Shape of a `Throughput`."""

    streams: Whole
    threads: Whole
    seconds: Time
    requests: Whole
    candidate_ips: Ratio
    candidate_ips_ci95: Annotated[list[Ratio], TWO]
    reference_ips: Ratio
    reference_ips_ci95: Annotated[list[Ratio], TWO]
    speedup: Ratio
    speedup_ci95: Annotated[list[Ratio], TWO]
    candidate_ms: MillisecondsShape
    reference_ms: MillisecondsShape
    candidate_histogram: HistogramShape
    reference_histogram: HistogramShape


class LayerShape(Shape):
    """Shape of a `LayerRow`."""

    name: Line
    operator: Line
    kernel: Line | None
    ms: Duration
    share: Share


class MeasurementShape(Shape):
    """Shape of a `Measurement`: what `benchmark` measured with one batch size."""

    batch: Whole
    runs: Whole
    candidate_ms: MillisecondsShape
    reference_ms: MillisecondsShape | None
    speedup: Ratio | None
    throughput_ips: Ratio
    peak_rss_bytes: Count | None
    fp16_ms: MillisecondsShape | None
    advice: Line | None
    speedup_ci95: Annotated[list[Ratio], TWO] | None = None
    reliable: bool | None = None
    doubt: Line = ""
    candidate_histogram: HistogramShape | None = None
    reference_histogram: HistogramShape | None = None
    throughput: ThroughputShape | None = None
    layers: list[LayerShape] = []

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.reference_ms is None) != (self.speedup is None):
            raise ValueError("it has a speedup without times of the reference, or those without it")
        return self


class BenchmarkShape(MeasurementShape):
    """Shape of the result of `benchmark`."""

    artifact: str
    target: Line
    runtime_version: Line
    threads: Whole
    cpu: Line
    isa: list[Line]
    passed: bool
    gates: list[Line] = []
    hint: Literal["latency", "throughput"] = "latency"
    sweep: list[MeasurementShape] = []
    device: DeviceShape | None = None


class ValuesShape(Shape):
    """Shape of `Values`."""

    edges: list[Metric]
    shares: list[Share]
    low: Metric
    high: Metric
    clipped: Share

    @model_validator(mode="after")
    def _an_edge_more(self) -> Self:
        if len(self.edges) != len(self.shares) + 1:
            raise ValueError("it has not one edge more than shares")
        return self


class LayerCostShape(Shape):
    """Shape of a `LayerRow` of `sensitivity`."""

    name: Line
    sqnr_db: Decibels | None
    kl: Annotated[float, Field(ge=0, le=1e30)]
    latency_saved_ms: Metric | None
    fp32_ms: Duration | None = None
    int8_ms: Duration | None = None
    weights: ValuesShape | None = None
    activations: ValuesShape | None = None


class SensitivityShape(Shape):
    """Shape of the result of `sensitivity`."""

    target: Line
    calibration: str
    images: Count
    layers: list[LayerCostShape]
    seconds: Duration
    model: str
    device: DeviceShape | None = None


RESULTS: dict[str, type[Shape]] = {
    "validate": ValidateShape,
    "benchmark": BenchmarkShape,
    "sensitivity": SensitivityShape,
}
