"""What kept results may hold of a candidate's answers beyond top-1: see `record_shapes`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from convnext_edge.reading import Count, Line, Shape, Share

Points = Annotated[float, Field(ge=-100, le=100)]  # of percentages
Drop = Annotated[float, Field(ge=-1000, le=1000)]  # a difference of such, or the end of its interval
TWO = Field(min_length=2, max_length=2)  # ends of an interval
Whole = Annotated[int, Field(ge=1, le=2**31)]


class ChangedImageShape(Shape):
    """Shape of a `ChangedImage`."""

    image: str
    label: str | None
    reference: str
    candidate: str
    reference_probability: Share
    candidate_probability: Share


class ClassAgreementShape(Shape):
    """Shape of a `ClassAgreement`."""

    name: str
    images: Whole
    agreement: Share


class ConfidenceAgreementShape(Shape):
    """Shape of a `ConfidenceAgreement`."""

    least: Share
    most: Share
    images: Whole
    agreement: Share


class BeyondTop1Shape(Shape):
    """Shape of a `BeyondTop1`."""

    reference_ece: Share | None
    candidate_ece: Share | None
    ece_bins: Whole
    classes_by: Line
    by_class: list[ClassAgreementShape]
    by_confidence: list[ConfidenceAgreementShape]
    changed_images: Count
    changed: list[ChangedImageShape]


class CellShape(Shape):
    """Shape of a `Cell`."""

    kind: Line
    severity: Annotated[int, Field(ge=1, le=5)]
    reference_top1: Share
    candidate_top1: Share
    drop_points: Points


class CorruptedShape(Shape):
    """Shape of a `Corrupted`."""

    severities: Line
    images: Whole
    clean_drop_points: Points
    extra_drop_points: Drop
    extra_drop_ci95_points: Annotated[list[Drop], TWO]
    cells: list[CellShape]
