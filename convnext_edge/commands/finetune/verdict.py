"""What fine-tuning says against its own result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def setbacks(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield, as a sentence, that a model is worse after the training than before it.

    Top-1 decides where the images have labels: a model that learns from labels leaves its reference.
    Otherwise the SQNR to the reference does. figures: those of a run, see `Finetune`; an SQNR of None is an
    exact answer.
    """
    before, after = figures.get("start_top1"), figures.get("final_top1")
    if before is not None and after is not None:
        if after < before:
            yield worse(f"top-1 {before:.2%} before", f"{after:.2%} after")
        return
    start, final = figures.get("start_sqnr_db"), figures.get("final_sqnr_db")
    if final is not None and (start is None or final < start):
        yield worse("exact before" if start is None else f"{start:.1f} dB before", f"{final:.1f} dB after")


def worse(before: str, after: str) -> str:
    """Return the sentence."""
    return (
        f"training made the model worse: {before}, {after}. Keep the model that it began with, or train"
        " with a lower --learning-rate or for longer"
    )
