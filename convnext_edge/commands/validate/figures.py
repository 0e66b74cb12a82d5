"""How figures beyond top-1 read on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convnext_edge.commands.text import Sentence, table

if TYPE_CHECKING:
    from convnext_edge.evaluation.answers import BeyondTop1, ConfidenceAgreement
    from convnext_edge.evaluation.corrupted import Corrupted

Lines = list[tuple[str, object]]
WORST = 3  # classes, and images, that are named


def beyond_lines(found: BeyondTop1 | None) -> Lines:
    """Return calibration error, agreement by class and by confidence, and changed images as lines."""
    if found is None:
        return []
    sure = ", ".join(map(_group, reversed(found.by_confidence)))
    lower = [f"{row.name} {row.agreement:.2%} of {row.images}" for row in found.by_class if row.agreement < 1]
    lines: Lines = [("sureness", Sentence(f"agreement by the reference's probability: {sure}"))]
    if lower:
        lines.append(("classes", Sentence(f"lowest agreement: {', '.join(lower[:WORST])}")))
    if found.reference_ece is not None and found.candidate_ece is not None:
        told = f"{found.candidate_ece:.2%} (reference {found.reference_ece:.2%}; {found.ece_bins} bins)"
        lines.insert(0, ("ECE", told))
    if found.changed:
        named = [f"{row.image}: {row.reference} -> {row.candidate}" for row in found.changed[:WORST]]
        more = found.changed_images - len(named)
        rest = f"; {more} more in --json" if more else ""
        lines.append(("changed", Sentence(", ".join(named) + rest)))
    return lines


def _group(row: ConfidenceAgreement) -> str:
    return f"{row.agreement:.2%} at {row.least:.2g} to {row.most:.2g} ({row.images})"


def corruption_lines(found: Corrupted | None) -> Lines:
    """Return how much more than on clean images is lost, as a line."""
    if found is None:
        return []
    low, high = found.extra_drop_ci95_points
    told = (
        f"{found.extra_drop_points:+.2f} points of extra drop (95 %: {low:+.2f} to {high:+.2f}), the mean of"
        f" {len(found.cells)} cells over the {found.clean_drop_points:+.2f} of clean images"
    )
    return [("corrupted", Sentence(told))]


def corruption_table(found: Corrupted) -> str:
    """Return a row for each kind: top-1 of FP32 in %, and the points lost, by severity."""
    severities = sorted({cell.severity for cell in found.cells})
    rows: dict[str, list[str]] = {}
    for cell in found.cells:
        more = 100 * (cell.candidate_top1 - cell.reference_top1)
        told = f"{100 * cell.reference_top1:.1f} {more:+.1f}"
        rows.setdefault(cell.kind, [cell.kind.replace("_", " ")]).append(told)
    head = ["corruption", *(f"severity {number}" for number in severities)]
    return f"top-1 of FP32 in %, and what the candidate has more; as bad as {found.severities}\n" + table(
        [head, *rows.values()]
    )
