"""Damaged engines: the small model as a runtime's own file, with what it is in many files beside it."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.fuzzing import graphs
from benchmarks.fuzzing.edits import damaged
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.images.noise import noise
from convnext_edge.targets.registry import find_target

Files = dict[str, bytes]
GIVEN = "given"  # the folder of the damaged files, which become an artifact with a right sidecar


@cache
def engine(target: str, suffix: str) -> Files:
    """Return the files of an engine by their names."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        model.write_bytes(graphs.small_model())
        (Path(folder) / GIVEN).mkdir()
        find_target(target).build(model, Path(folder) / GIVEN / f"engine{suffix}")
        return {path.name: path.read_bytes() for path in sorted((Path(folder) / GIVEN).iterdir())}


@st.composite
def engines(draw: st.DrawFn, target: str, suffix: str) -> Files:
    """Return an engine with one of its files damaged."""
    files = engine(target, suffix)
    which = draw(st.sampled_from(sorted(files)))
    changed = {**files, which: draw(damaged(files[which]))}
    return {f"{GIVEN}/{name}": content for name, content in changed.items()}


def read_engine(folder: Path, target: str, suffix: str, description: Any) -> None:
    """Sign an engine, and run it."""

    def copy(file: Path) -> None:
        for path in (folder / GIVEN).iterdir():
            file.with_name(path.name).write_bytes(path.read_bytes())

    artifact = write_artifact(folder / f"engine{suffix}", description, copy)
    images = noise((3, graphs.RESOLUTION, graphs.RESOLUTION), "float32", batch=2, seed=0)
    with find_target(target).open_session(artifact) as session:
        session.run(images)
