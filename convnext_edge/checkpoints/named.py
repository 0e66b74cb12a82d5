"""What a word names that may be a variant, a file, a folder or a repository: nothing is guessed."""

from __future__ import annotations

from pathlib import Path

from convnext_edge.checkpoints.variants import is_variant, names
from convnext_edge.errors import UsageError, nearest
from convnext_edge.paths import AnyPath


def variant_or_file(
    model: AnyPath | None, variant: str | None, checkpoint: AnyPath | None
) -> tuple[str | None, AnyPath | None]:
    """Return the variant and the checkpoint that MODEL and the two options name.

    Raises UsageError where MODEL is neither, or both, or where an option names another.
    """
    if model is None:
        return variant, checkpoint
    name = model if isinstance(model, str) else Path(model).as_posix()
    known, there = is_variant(name), Path(model).exists() or name.startswith("hf:")
    if known and there and variant is None and checkpoint is None:
        raise UsageError(
            f"{name} is the name of a variant, and of what lies here",
            hint=f"Say which: --variant {name} or --checkpoint ./{name}.",
        )
    if known and variant is None:
        return name, checkpoint
    if there and checkpoint is None:
        return variant, name if name.startswith("hf:") else model
    if known or there:
        option, given = ("--checkpoint", checkpoint) if there else ("--variant", variant)
        raise UsageError(f"MODEL is {name}, and {option} is {given}", hint="Name one of the two.")
    raise UsageError(
        f"{name} is neither the name of a variant nor a file or folder that exists",
        hint=f"{nearest(name, names())}`convnext-edge variants` lists variants. Of a file, check the path.",
    )


def check_one(model: AnyPath | None, checkpoint: AnyPath | None) -> None:
    """Raise UsageError where both an artifact and a checkpoint are named."""
    if model is not None and checkpoint is not None:
        raise UsageError("MODEL and --checkpoint exclude each other", hint="Give one of the two.")
