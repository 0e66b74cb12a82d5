"""What is said of a checkpoint when it is loaded: what was taken from where, left out and assumed."""

from __future__ import annotations

from convnext_edge.checkpoints.folders import Located
from convnext_edge.checkpoints.loading import Checkpoint
from convnext_edge.checkpoints.preparation.found import OPTIONS, Preparation
from convnext_edge.checkpoints.traits import tell_assumed
from convnext_edge.errors import first_few
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.progress import note


def tell(loaded: Checkpoint, located: Located) -> None:
    """Say what was taken of the checkpoint and from beside it, what was left out, and what was assumed."""
    name = located.name
    if located.revision is not None:
        note(f"{located.title} at commit {located.revision}: taking {located.file.name}")
    if loaded.taken is not None:
        note(f"{name}: taking the {loaded.taken}")
    if loaded.config is not None:
        note(f"{name}: what its tensors do not show is as {loaded.config.place.name} beside it says")
    if loaded.classes.source is not None:
        names = first_few(loaded.classes.names)
        note(f"{name}: the names of its classes are those of {loaded.classes.source}: {names}")
    if loaded.left_out:
        count = len(loaded.left_out)
        parts = "1 part is" if count == 1 else f"{count} parts are"
        note(f"{name}: {parts} not of the image model, left out: {first_few(loaded.left_out)}")
    tell_assumed(loaded.assumed, name)


def tell_preparation(prepared: Preparation, name: str, changes: PreprocessingChanges) -> None:
    """Say who tells how the images of a checkpoint are prepared, and what of it nobody told.

    name: of the checkpoint. changes: what the user says.
    """
    if prepared.told:
        note(f"{name}: images are prepared as {prepared.by}")
    elif changes != PreprocessingChanges():
        made = changes.apply(prepared.preprocessing, len(prepared.preprocessing.mean))
        if rest := ", ".join(changes.left_open(made)):
            note(
                f"{name} does not say how images are prepared: options say a part,"
                f" and the rest is taken as {prepared.by}: {rest}"
            )
    else:
        note(f"{name} does not say how images are prepared: taken as {prepared.by}, which {OPTIONS} change")


def tell_kept(assumed: tuple[str, ...], name: str) -> None:
    """Say what weights of the workspace still assume of their images."""
    for each in assumed:
        note(f"{name}: nothing told it, so these are taken: {each}. {OPTIONS} change it")
