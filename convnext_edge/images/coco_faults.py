"""What is wrong with an object as COCO's JSON tells it, beyond types and ranges."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from convnext_edge.images.objects import of_text

LEAST_CORNERS = 6  # numbers of a polygon
LARGEST_AREA = 1e10  # pixels; pycocotools counts no larger object
# pixels along a polygon: pycocotools takes 100 bytes for each, and crashes where it does not get them
LONGEST_OUTLINE = 2**20

Number = Annotated[float, Field(ge=-(2**24), le=2**24)]


def fault_of(row: dict[str, Any], numbers: set[int], sizes: dict[int, tuple[int, int]]) -> str:
    """Return what is wrong with an object, as the end of a sentence; empty where nothing is.

    numbers: of the classes. sizes: height and width of each picture by its number.
    """
    size, mask = sizes.get(row["image_id"]), row.get("segmentation")
    if row["category_id"] not in numbers:
        return f"is of category {row['category_id']}, which the file does not list"
    if size is None:
        return f"is in picture {row['image_id']}, which the file does not list"
    if fault := fault_of_box(row):
        return fault
    if isinstance(mask, dict):
        return (
            "" if runs_fit(mask, size) else f"has run lengths that are none of {size[0]} x {size[1]} pixels"
        )
    return next(filter(None, map(fault_of_polygon, mask or ())), "")


def fault_of_polygon(polygon: list[float]) -> str:
    """Return what is wrong with a part of a mask, as `fault_of`."""
    if len(polygon) < LEAST_CORNERS or len(polygon) % 2:
        return "has a polygon without three corners of two numbers each"
    corners = np.array(polygon).reshape(-1, 2)
    outline = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum()
    if outline > LONGEST_OUTLINE:
        return f"has a polygon that is {outline:,.0f} pixels around, more than {LONGEST_OUTLINE:,}"
    return ""


def fault_of_box(row: dict[str, Any]) -> str:
    """Return what is wrong with the box of an object or its area, as `fault_of`."""
    if min(row["bbox"][2:]) < 0:
        return f"has a box of negative width or height: {row['bbox']}"
    if area_of(row) > LARGEST_AREA:
        return f"has an area of {area_of(row):g} pixels, more than any picture"
    return ""


def runs_fit(mask: dict[str, Any], size: tuple[int, int]) -> bool:
    """Return whether run lengths are of a picture of that height and width."""
    counts = mask.get("counts")
    if mask.get("size") != list(size) or any(type(edge) is not int for edge in mask["size"]):
        return False
    try:
        runs = of_text(counts) if isinstance(counts, str) else counts
    except ValueError:
        return False
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs):
        return False
    return sum(runs) == size[0] * size[1]


def area_of(row: dict[str, Any]) -> float:
    """Return the area of an object of a file in pixels, by default that of its box."""
    _, _, width, height = row["bbox"]
    area: float | None = row.get("area")
    return float(width * height) if area is None else area
