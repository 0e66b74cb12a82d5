"""What is beside the figures: classes and pictures that changed, recipes, machines and versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.commands.report.groups import Group, Line
from convnext_edge.commands.rows import Row
from convnext_edge.commands.text import lost_or_won
from convnext_edge.evaluation.records import Record

CLASSES = 10  # the worst, of those with less than full agreement
PICTURES = 20
SATURATES = {True: "can saturate (no VNNI)", False: "does not saturate", None: "may saturate, nobody knows"}
# Metrics of the reference, and how they read.
OF_REFERENCES = {
    "map_reference": "mAP",
    "miou_reference": "mIoU",
    "box_ap_reference": "AP of boxes",
    "mask_ap_reference": "AP of masks",
    "knn_reference": "accuracy by the 10 nearest neighbours",
}


@dataclass(frozen=True)
class Changes:
    """Where the answers of a model are not those of FP32."""

    line: Line
    facts: str  # calibration errors, and how many pictures changed
    classes: tuple[dict[str, Any], ...]  # the worst
    confidence: tuple[dict[str, Any], ...]
    pictures: tuple[dict[str, Any], ...]  # the first
    others: int  # pictures that are not shown


def changes_of(group: Group) -> list[Changes]:
    """Return where answers changed, of each line whose `validate` told it."""
    found = []
    for line in group.lines:
        beyond = line.row.get("beyond_top1")
        if not beyond or line.row["precision"] == "fp32":
            continue
        worst = [one for one in beyond["by_class"] if one["agreement"] < 1][:CLASSES]
        pictures = tuple(beyond["changed"][:PICTURES])
        others = beyond["changed_images"] - len(pictures)
        found.append(Changes(line, _facts(line.row, beyond), tuple(worst), tuple(beyond["by_confidence"]),
                             pictures, others))  # fmt: skip
    return found


def _facts(row: Row, beyond: dict[str, Any]) -> str:
    told = [f"{beyond['changed_images']:,} of {row['images']:,} pictures get another answer than FP32's."]
    if beyond["reference_ece"] is not None:
        errors = f"FP32 {beyond['reference_ece']:.2%}, this {beyond['candidate_ece']:.2%}"
        told.append(f"Expected calibration error: {errors}.")
    if corrupted := row.get("corruptions"):
        extra = lost_or_won(
            corrupted["extra_drop_points"], "points more", corrupted["extra_drop_ci95_points"]
        )
        told.append(f"On {corrupted['images']:,} corrupted images it {extra}.")
    return " ".join(told)


def reference_of(group: Group) -> str:
    """Describe the images and the accuracy of the reference model, and the task where it is not classify."""
    checked = [row for row in group.rows if row["images"] is not None]
    facts = [] if group.task == "classify" else [f"Task {group.task}"]
    for name, path, count in sorted({_images(row) for row in checked}):
        own = [row for row in checked if _images(row) == (name, path, count)]
        shared = any(_images(row)[0] == name and _images(row)[1] != path for row in checked)
        of_images = f"{count:,} images of {path if shared else name}"
        facts.append(": ".join([of_images, *filter(None, distinct(map(_right, own)))]))
    return "; ".join(filter(None, facts))


def _images(row: Row) -> tuple[str, str, int]:
    """Return the name of the images of a row, where they are, and their number."""
    return Path(row["data"]).name, row.get("data_path") or "", row["images"]


def _right(row: Row) -> str:
    """Return what the reference gets right of the images of a row; nothing where that is not known."""
    metrics = row["metrics"] or {}
    found = {name: metrics.get(key) for key, name in OF_REFERENCES.items()}
    known = [f"{name} {value:.2%}" for name, value in found.items() if value is not None]
    if row["reference_top1"] is not None:
        known = [f"top-1 {row['reference_top1']:.2%}", f"top-5 {row['reference_top5']:.2%}", *known]
    return f"FP32 PyTorch: {', '.join(known)}" if known else ""


def recipe_facts(row: Row) -> list[tuple[str, str]]:
    """Return the file of a row, its digest, its recipe and what it was calibrated with."""
    facts = [("file", row["file"]), ("SHA-256", row["sha256"])]
    if recipe := row.get("recipe"):
        facts.append(("recipe", ", ".join(f"{key} = {_short(value)}" for key, value in recipe.items())))
    if calibration := row.get("calibration"):
        images, digest = (
            f"{calibration['images']:,} images of {calibration['name']}",
            calibration["digest"][:16],
        )
        facts.append(("calibration", f"{images} (together {digest}…)"))
    return facts


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_short(part)}" for key, part in value.items()) + "}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def environment_of(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the CPUs, devices and versions of packages, each of them once, as pairs of a name and a text."""
    facts = []
    for cpu in distinct(record["cpu"] for record in records):
        saturates = SATURATES[cpu["int8_saturates"]]
        facts.append((cpu["name"], f"{' '.join(cpu['isa'])}: INT8 {saturates}."))
    devices = [record["result"]["device"] for record in records if record["result"].get("device")]
    facts += [("device", device_text(device)) for device in distinct(devices)]
    for tools in distinct(record["tools"] for record in records):
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in tools.items()) + "."))
    return facts


def device_text(device: dict[str, Any]) -> str:
    """Return what is known of a device, as a paragraph."""
    facts = [f"machine {device['machine']}", device["kernel"], device["libc"]]
    facts += [f"governor {device['governor']}"] if device["governor"] else []
    facts += [f"up to {device['max_clock_mhz']:.0f} MHz"] if device["max_clock_mhz"] else []
    simulated = f" Simulated by {device['runner']}: its times are no times." if device["emulated"] else ""
    return f"{device['url']} ({device['name']}): {', '.join(filter(None, facts))}.{simulated}"


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; the values need not be hashable."""
    seen: list[Any] = []
    for value in values:
        if value not in seen:
            seen.append(value)
    return seen
