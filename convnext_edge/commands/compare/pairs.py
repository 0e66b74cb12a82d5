"""The pairs of method and target that `compare` runs: checked before any work, and run one by one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path

from convnext_edge.commands.compare.contest import FP32, RECIPE, Contest
from convnext_edge.commands.compare.result import Refusal
from convnext_edge.commands.quantize.methods import METHODS
from convnext_edge.commands.rows import Row
from convnext_edge.errors import ConvNeXtEdgeError, RecipeError, TargetError, UsageError, nearest
from convnext_edge.progress import doing, note
from convnext_edge.quantization.recipe import Recipe, read_recipe


def check_methods(methods: Sequence[str]) -> list[str]:
    """Return the methods to compare, each once.

    Raises UsageError for one that is none, and for recipes of one name: so are their engines called.
    RecipeError for a file that is no recipe: what is wrong for any target is said before hours of work.
    """
    if not methods:
        missing = {"nncf"} if util.find_spec("nncf") is None else set()
        for name in missing:
            note(f"leaving method {name} out: its package is not installed")
        return [FP32, *(method for method in METHODS if method not in missing)]
    for method in methods:
        if method not in (FP32, *METHODS) and not method.endswith(RECIPE):
            raise UsageError(
                f"{method!r} is no method",
                hint=f"{nearest(method, (FP32, *METHODS))}"
                f"Take {FP32}, {', '.join(METHODS)}, or the file of a recipe (.toml).",
            )
    chosen = list(dict.fromkeys(methods))
    check_recipes([method for method in chosen if method.endswith(RECIPE)])
    return chosen


def check_recipes(files: Sequence[str]) -> None:
    """Raise RecipeError for a file that is no recipe, UsageError for two of one name."""
    named: dict[str, str] = {}
    for file in files:
        read_recipe(Path(file), Recipe())
        other = named.setdefault(Path(file).stem, file)
        if other != file:
            raise UsageError(
                f"{other} and {file} have one name, and so would their engines", hint="Rename one of the two."
            )


def run_all(contest: Contest, pairs: Sequence[tuple[str, str]]) -> tuple[list[Row], list[Refusal]]:
    """Run every pair of method and target; raise the first error where every pair is refused."""
    rows: list[Row] = []
    refusals: list[Refusal] = []
    errors: list[ConvNeXtEdgeError] = []
    for number, (method, target) in enumerate(pairs, 1):
        doing(f"{number} of {len(pairs)}: {method} on {target}")
        try:
            rows.append(contest.run(method, target))
        except (RecipeError, TargetError, UsageError) as error:
            note(f"{method} on {target} is refused: {error.message}")
            refusals.append(Refusal(method, target, error.message))
            errors.append(error)
    if not rows:
        raise errors[0]
    return rows, refusals
