"""The answer to a picture as single values, for the columns of a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convnext_edge.tasks import Task

if TYPE_CHECKING:
    from convnext_edge.commands.predict.result import Prediction


def single_values(row: Prediction, task: Task) -> dict[str, str | float]:
    """Return the likeliest or largest class, all labels, the surest object, or the values.

    Of other tasks there is nothing. A picture without objects has a label of no letters and a score of 0. The
    JSON has lists there, which are no cells of a table.
    """
    match task:
        case "classify":
            return {"label": row.top[0].label, "probability": row.top[0].probability}
        case "multilabel":
            return {"labels": ", ".join(top.label for top in row.top)}
        case "segment":
            return {"label": row.classes[0].label, "share": row.classes[0].share}
        case "detect":
            surest = row.objects[0] if row.objects else None
            return {
                "count": len(row.objects),
                "label": surest.label if surest else "",
                "score": surest.score if surest else 0.0,
            }
        case "regress":
            return {f"value {number}": value for number, value in enumerate(row.values)}
    return {}
