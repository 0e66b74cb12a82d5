"""The golden cases in embedded applications: an engine in a folder, and the pictures to send there."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from support.embedded import Build, Pixels

from convnext_edge import embed
from convnext_edge.evaluation.conformance import (
    Case,
    Deviation,
    build_case,
    deviation,
    golden_cases,
    pictures,
)
from convnext_edge.targets.registry import find_target


def golden_case(name: str) -> Case:
    (found,) = (case for case in golden_cases() if case.name == name)
    return found


def engine_of(case: Case, runtime: str, place: Path) -> Path:
    return build_case(case, runtime, place / f"{case.name}{find_target(runtime).suffix}").path


def golden_pictures(case: Case) -> list[Pixels]:
    """The pictures of a case at the size that its model takes, which nothing resizes."""
    edge = case.model.description.preprocessing.resolution
    return list(pictures(len(case.logits), edge).transpose(0, 2, 3, 1))


def golden_files(case: Case) -> list[bytes]:
    """The same as PNG files."""
    files = []
    for picture in golden_pictures(case):
        Image.fromarray(picture).save(data := io.BytesIO(), "PNG")
        files.append(data.getvalue())
    return files


def conformance(
    program: Build, runtime: str, place: Path, *, cases: Iterable[Case], threads: Iterable[int]
) -> dict[tuple[str, int], Deviation]:
    """How far a program of embedded C++ is from each case, with each number of threads."""
    found = {}
    for case in cases:
        folder = embed(engine_of(case, runtime, place), lang="cpp", output=place / case.name).directory
        for count in threads:
            answer = program.answer(folder / "model", "logits", golden_pictures(case), count)
            logits = np.frombuffer(answer, np.float32).reshape(case.logits.shape)
            found[case.name, count] = deviation(case, logits)
    return found
