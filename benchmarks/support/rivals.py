"""How rivals stand against ours, over the two parts of benchmarks/measure/rivals.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The demo model is trained, so that closeness means something; ConvNeXt-T is of a size that people deploy.
PARTS = {"demo": "demo", "tiny": "tiny, random weights, 224"}
Parts = Mapping[str, Mapping[str, Any]]


def rows_of(parts: Parts, name: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The rivals of a part that worked and have something of ours to stand against, by runtime and name."""
    rows = parts[name]["rows"] if name in parts else []
    return {(row["runtime"], row["name"]): row for row in rows if row["against"]}


def verdicts(parts: Parts, same_speed: Mapping[str, str]) -> list[dict[str, Any]]:
    """Of each rival: whether it is closer on the demo model, and faster on each.

    same_speed: names of those that are not timed as ConvNeXt-T -> whose speed theirs is.
    """
    demo, tiny = rows_of(parts, "demo"), rows_of(parts, "tiny")
    found = []
    for runtime, name in {**demo, **tiny}:
        close = demo.get((runtime, name))
        fast = tiny.get((runtime, same_speed.get(name, name)))
        found.append(
            {
                "name": name,
                "runtime": runtime,
                "closer": close["against"]["closer"] if close else None,
                "faster on demo": close["against"]["faster"] if close else None,
                "faster on tiny": fast["against"]["faster"] if fast else None,
                "times as fast on tiny": fast["against"]["times_as_fast"] if fast else None,
            }
        )
    return found


def both(parts: Parts, same_speed: Mapping[str, str]) -> dict[str, list[str]]:
    """Names of the rivals that are both faster and closer, by the part that tells the speed."""
    judged = verdicts(parts, same_speed)
    return {
        f"closeness of demo, speed of {part}": [
            f"{found['name']} in {found['runtime']}"
            for found in judged
            if found["closer"] and found[f"faster on {part}"]
        ]
        for part in parts
    }


def leads(parts: Parts) -> dict[str, float]:
    """How many times as fast as the fastest rival in the same runtime ours is, on ConvNeXt-T, by the runtime.

    Rivals in a runtime that none of ours is in have no part in it.
    """
    rows = parts["tiny"]["rows"] if "tiny" in parts else []
    ours = {row["runtime"] for row in rows if row["ours"]}
    fastest: dict[str, float] = {}
    for (runtime, _), row in rows_of(parts, "tiny").items():
        if runtime in ours:
            fastest[runtime] = max(row["against"]["times_as_fast"], fastest.get(runtime, 0.0))
    return {runtime: round(1 / found, 3) for runtime, found in fastest.items()}
