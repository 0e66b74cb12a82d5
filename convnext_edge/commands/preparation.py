"""What the commands that quantize begin with: model, recipe and images, as their options name them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from convnext_edge.artifacts.artifact import Form
from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.names import check_new
from convnext_edge.artifacts.opsets import FIRST_WITH_16_BITS
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.errors import RecipeError
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import find_target

if TYPE_CHECKING:
    from convnext_edge.checkpoints.class_order import Numbering
    from convnext_edge.checkpoints.places import Weights
    from convnext_edge.images.image_set import ImageSet
    from convnext_edge.quantization.job import Job
    from convnext_edge.quantization.recipe import Recipe
    from convnext_edge.quantization.start import Start

    Begin = Callable[[], tuple[Start, Recipe]]

MOST_BYTES = 50  # of a recipe's name, so that those of files find room
SAMPLES = 256  # more changed no range by much in our measurements


class Given(NamedTuple):
    """The options that name a model."""

    model: AnyPath | None  # an artifact; None takes the newest
    checkpoint: AnyPath | None
    weights: Weights | None = None  # of a checkpoint that has several


class Images(NamedTuple):
    """The options that name the calibration set."""

    calib: AnyPath
    samples: int | None  # None takes `most`, or all of fewer
    data_root: AnyPath | None
    most: int = SAMPLES
    numbering: Numbering | None = None  # of its classes; None where their names are of no use


def at_once(begin: Begin) -> tuple[Start, Recipe]:
    """Let this process decide on the model and the recipe."""
    return begin()


def prepare_job(
    given: Given,
    *,
    images: Images,
    target: str,
    recipe: AnyPath | None,
    workspace: Workspace,
    seed: int,
    keep_float: Sequence[str] = (),
    form: Form | None = None,
    machine: Machine | None = None,
    opset: int | None = None,
    decide: Callable[[Begin], tuple[Start, Recipe]] = at_once,
) -> Job:
    """Return the job that the options of a quantizing command name.

    form: another than the target's own. machine: that the model is to run on, by default that of the
    target's devices, or else one as this. opset:
    another than the model's own. decide: calls what finds the model and reads the recipe; of several
    processes, only the first does.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    with importing():
        from convnext_edge.quantization.job import Job
        from convnext_edge.quantization.start import find_start

    chosen = find_target(target)

    def begin() -> tuple[Start, Recipe]:
        start = find_start(*given, workspace=workspace, seed=seed)
        return start, chosen.choose_recipe(as_path(recipe), keep_float)

    start, chosen_recipe = decide(begin)
    chosen.check_task(start.source.task)
    release()
    opset = opset or start.artifact.description.opset
    check_opset(opset, chosen_recipe)
    drawn = calibration_images(images, seed)
    name = None if chosen_recipe == chosen.recipe else name_recipe(recipe, chosen_recipe, keep_float)
    names = class_names(drawn, start, images.numbering)
    machine = machine or chosen.runs_on or this_machine()
    job = Job(
        start,
        chosen.name,
        form or chosen.int8_form(machine),
        chosen_recipe,
        drawn,
        recipe_name=name,
        opset=opset,
        machine=machine if chosen.differs_by_machine else None,
        moment_norms=chosen.moment_norms,
    )
    return replace(job, class_names=names)


def check_opset(opset: int | None, recipe: Recipe) -> None:
    """Raise RecipeError where Q/DQ of the opset lack a type of activations that the recipe may give."""
    if opset is not None and opset < FIRST_WITH_16_BITS and "uint16" in recipe.activations:
        raise RecipeError(
            f"recipe: opset {opset} has no activations of 16 bits, which came with {FIRST_WITH_16_BITS}",
            hint=f"Take --opset {FIRST_WITH_16_BITS} or later, in export or quantize, or 8 bits.",
        )


def name_recipe(file: AnyPath | None, recipe: Recipe, keep_float: Sequence[str]) -> str:
    """Return what names of files call a recipe: by its file, and by a digest where options change it too.

    Raises RecipeError for a file whose name cannot be part of another.
    """
    if file is not None:
        check_new(Path(file).stem, RecipeError, hint="Give the recipe a plain name.", most=MOST_BYTES)
    changed = json.dumps(recipe.to_json(), sort_keys=True).encode()
    parts = [Path(file).stem] if file is not None else []
    return "-".join([*parts, *([hashlib.sha256(changed).hexdigest()[:6]] if keep_float else [])])


def class_names(images: ImageSet, start: Start, numbering: Numbering | None) -> tuple[str, ...]:
    """Return the names of the model's classes that a user's file or the images tell; empty for none."""
    if numbering is None:
        return ()
    with importing():
        from convnext_edge.evaluation.class_names import names_of_images

    return names_of_images(images, start.source, numbering).names


def calibration_images(asked: Images, seed: int) -> ImageSet:
    """Return the images of a set that were asked for."""
    with importing():
        from convnext_edge.images.opening import open_image_set

    images = open_image_set(asked.calib, data_root=asked.data_root, split="calibration")
    return images.subset(asked.samples or min(asked.most, len(images)), seed)
