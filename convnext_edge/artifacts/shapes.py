"""What a sidecar may hold, by type and range, as pydantic compares it.

A key that early sidecars lack is given a default here; all others must be there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from convnext_edge.architecture import Activation, Decoder, NormKind, Pooling, Stem
from convnext_edge.artifacts.artifact import Form, Kind
from convnext_edge.cpu import Machine
from convnext_edge.detection import MOST_BOXES, Library
from convnext_edge.images.preprocessing import InputType, PreprocessingShape
from convnext_edge.reading import Count, Epsilon, Line, Sha256, Shape, Version
from convnext_edge.tasks import OF_HEADS, VECTORS, Task

Hash = Annotated[str, Field(pattern=r"\A[0-9a-f]{8,64}\z")]
Size = Annotated[int, Field(ge=1, le=2**24)]  # of classes, channels, blocks
Boxes = Annotated[int, Field(ge=1, le=MOST_BOXES)]
RecipeValue = bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | float | Line | list[Line]


class FormatShape(Shape):
    """What sidecars of all formats have."""

    format: Count


class LinkShape(Shape):
    """Shape of a `Link`; names are checked by themselves."""

    name: str
    sha256: Sha256


class CalibrationShape(Shape):
    """Shape of a `Calibration`."""

    name: Line
    images: Count
    digest: Sha256


Fraction = Annotated[float, Field(ge=0, le=1)]
Stages = Annotated[list[Size], Field(max_length=100)]
Number = Annotated[int, Field(ge=0, le=2**24)]
Numbers = Annotated[list[Number], Field(max_length=100)]


class VerdictShape(Shape):
    """Shape of a `Verdict`."""

    passed: bool
    gates: list[Line]
    unmet: list[Line]
    warnings: list[Line]


class DetectionShape(Shape):
    """Shape of a `Detection`."""

    library: Library
    candidates: Boxes
    proposals: Boxes
    proposal_overlap: Fraction
    overlap: Fraction
    score: Fraction
    detections: Boxes


class CascadeShape(Shape):
    """Shape of a `Cascade`."""

    convs: Annotated[int, Field(ge=0, le=100)]
    linears: Annotated[int, Field(ge=1, le=2)]
    agnostic: bool


class ArchitectureShape(Shape):
    """Shape of an `Architecture`; what early sidecars lack has its default there."""

    depths: Stages
    dims: Stages
    patch: Size
    classes: Number
    grn: bool
    layer_scale: bool
    channels: Annotated[int, Field(ge=1, le=16)] = 3
    stem: Stem = "patch"
    stem_width: Number = 0
    downsample_first: bool = False
    kernels: Stages = []
    conv_bias: bool = True
    norm: NormKind = "layernorm"
    norm_bias: bool = True
    eps: Epsilon = 1e-6
    last_eps: Epsilon = 1e-6
    activation: Activation = "gelu"
    output_stride: Size | None = None
    last_norm: bool = True
    norm_first: bool = False
    pooling: Pooling = "avg"
    hidden: Number = 0
    head_bias: bool = True
    pooled: bool = True
    maps: Numbers = []
    map_norms: Numbers = []
    map_last_norm: bool = False
    decoder: Decoder | None = None
    decoder_width: Number = 0
    pool_bins: Stages = []
    box_width: Number = 0
    mask_width: Number = 0
    cascade: CascadeShape | None = None
    detection: DetectionShape | None = None

    @model_validator(mode="after")
    def _decoder_fits(self) -> Self:
        if bool(self.decoder) != bool(self.decoder_width):
            raise ValueError("decoder_width must be that of a decoder")
        if self.decoder and (self.pooled or len(self.maps) != len(self.dims) or not self.classes):
            raise ValueError("a decoder must take the maps of all stages, and tell classes apart")
        detects = self.decoder == "mask_rcnn"
        if any(bool(told) != detects for told in (self.detection, self.box_width, self.mask_width)):
            raise ValueError("detection, box_width and mask_width must be those of a detector")
        if self.cascade and (self.detection is None or self.detection.library != "mmdetection"):
            raise ValueError("cascade must be that of a detector of mmdetection")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if not len(self.depths) == len(self.dims) == len(self.kernels or self.dims):
            raise ValueError("depths, dims and kernels must be of the same stages")
        for stages in (self.maps, self.map_norms):
            if stages != sorted(set(stages)) or any(stage >= len(self.dims) for stage in stages):
                raise ValueError("maps and map_norms must be stages of the model, in their order")
        if not (self.pooled or self.maps):
            raise ValueError("a model must have an output")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError("kernels must be odd")
        if (self.stem != "patch") != (self.stem_width > 0):
            raise ValueError("stem_width must be that of an overlapping stem")
        if self.norm_bias and self.norm != "layernorm":
            raise ValueError("norm_bias must be false but for layernorm")
        if self.norm == "simplenorm" and 1 in self.dims:
            raise ValueError("norm must not be simplenorm over one channel")
        return self


class EngineShape(Shape):
    """Shape of what targets record of an engine, as far as it is read again."""

    runtime: Line = ""
    version: Version = ""
    notes: list[Line] = []
    max_batch: Annotated[int, Field(ge=1, le=2**20)] = 1
    float_precision: Literal["fp32", "fp16"] | None = None
    compute_capabilities: list[Line] = []


class SidecarShape(FormatShape):
    """Shape of a sidecar; the fields of `Description` are explained there."""

    sha256: Sha256
    files: Annotated[dict[str, Sha256], Field(min_length=1, max_length=1000)]
    kind: Kind
    stem: str
    variant: Line | None
    architecture: ArchitectureShape
    preprocessing: PreprocessingShape
    precision: str
    target: str | None
    input_type: InputType
    method: str | None
    recipe: dict[Line, RecipeValue | dict[Line, RecipeValue]] | None  # `finetune` holds the plan of a run
    calibration: CalibrationShape | None
    calibration_hashes: list[Hash]
    quantized_layers: list[Line]
    float_layers: list[Line]
    classes: list[str]
    engine: EngineShape | None
    weights: LinkShape | None
    parent: LinkShape | None
    tools: dict[Line, Line]
    command: str
    task: Task = "classify"
    dynamic_size: bool = False
    assumed: list[Line] = []
    layout: Line | None = None
    usual_resolution: Size | None = None
    recipe_name: str | None = None
    opset: Annotated[int, Field(ge=1, le=1000)] | None = None
    form: Form | None = None
    machine: Machine | None = None
    verdict: VerdictShape | None = None

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        has = self.architecture
        for wrong, why in (
            (has.pooled != (self.task in VECTORS), "a vector" if has.pooled else "maps alone"),
            (self.task in OF_HEADS and not has.classes, "no classes"),
            (self.task in OF_HEADS and bool(has.maps), "maps"),
            (self.task == "embed" and len(has.maps) > 1, "more than one map"),
            ((self.task == "segment") != (has.decoder == "upernet"), f"decoder {has.decoder}"),
            ((self.task == "detect") != (has.decoder == "mask_rcnn"), f"decoder {has.decoder}"),
        ):
            if wrong:
                raise ValueError(f"task must not be {self.task} of an architecture with {why}")
        return self


def names(value: dict[str, Any]) -> dict[str, str]:
    """Return what becomes a file name or part of one, by the place in the sidecar `value`."""
    parts = ("stem", "precision", "target", "method", "recipe_name")
    found = {key: value[key] for key in parts if value.get(key) is not None}
    links = {key: value[key]["name"] for key in ("weights", "parent") if value[key] is not None}
    return {**found, **links, **{f"file {number}": name for number, name in enumerate(value["files"], 1)}}
