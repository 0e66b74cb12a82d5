"""The gates that options of `quantize` ask for, before anything heavy is imported."""

from __future__ import annotations

from convnext_edge.errors import UsageError
from convnext_edge.evaluation.gates import Gates, check_bound, option_of
from convnext_edge.paths import AnyPath


def check_gate(gates: Gates, data: AnyPath | None, method: str, *, changed: bool) -> None:
    """Raise UsageError for options that mean nothing together. changed: whether the recipe is."""
    if method == "ort" and changed:
        raise UsageError("method ort takes no recipe", hint="Leave --recipe and --keep-float out.")
    for name in gates.given:
        check_bound(name, getattr(gates, name))
        if method != "ptq":
            raise UsageError(
                f"{option_of(name)} means nothing with --method {method}", hint="Use --method ptq."
            )
    if not gates.given and data is not None:
        raise UsageError(
            "--data is what a gate is measured on, and none is given",
            hint="Give one too, as --max-drop POINTS or --min-sqnr DB.",
        )
