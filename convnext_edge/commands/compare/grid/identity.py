"""What a part of a cell is known by: digests of all that its result follows from.

A part follows from the one before it by the digest of the file that this one made, not by how it was made:
an engine that is made again with the same bytes needs not be validated again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.provenance import tool_versions
from convnext_edge.commands.compare.contest import FP32, Work
from convnext_edge.commands.compare.grid.plan import Cell, Model
from convnext_edge.commands.preparation import Images, calibration_images
from convnext_edge.cpu import this_machine
from convnext_edge.targets.registry import find_target

FORMAT = 1  # another number where what is kept means something else
LENGTH = 32  # digits of a key


def export_key(model: Model, work: Work) -> str | None:
    """Return the key of an exported variant; None for a checkpoint, of which files beside it are a part."""
    if model.variant is None:
        return None
    return key("export", model.variant, model.resolution, model.random_weights, work.seed)


def make_key(cell: Cell, start: Artifact, work: Work) -> str:
    """Return the key of an engine; raise RecipeError for a recipe that the target does not run."""
    target = find_target(cell.target)
    machine = (this_machine(), work.torch_threads)
    made = [known(start), cell.target, cell.method.name, machine, target.version()]
    if cell.method.name == FP32:
        return key("make", *made)
    recipe = target.choose_recipe(cell.method.recipe)
    images = calibration_images(Images(work.calib, work.samples, work.data_root), work.seed)
    return key("make", *made, recipe.to_json(), images.name, images.digest, work.seed)


def check_key(cell: Cell, engine: Artifact, work: Work) -> str:
    """Return the key of what `validate` finds."""
    images = (Path(work.data).name, cell.model.images, cell.model.digest)
    return key("check", known(engine), *images, work.cpus, work.torch_threads)


def time_key(engine: Artifact, work: Work) -> str:
    """Return the key of what `benchmark` finds."""
    return key("time", known(engine), work.threads, work.runs, work.cpus)


def known(artifact: Artifact) -> list[Any]:
    """Return what an artifact is known by: the digests of its files, and all that its sidecar says of it."""
    return [sorted(artifact.files.items()), repr(artifact.description)]


def key(kind: str, *parts: object) -> str:
    """Return the digest of the parts, and of the versions of all tools."""
    text = json.dumps([FORMAT, kind, tool_versions(), parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:LENGTH]
