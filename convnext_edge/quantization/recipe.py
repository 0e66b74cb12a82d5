"""Recipes: what to quantize and how, as a TOML file that is saved with the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from convnext_edge.errors import RecipeError, nearest
from convnext_edge.reading import DamagedError, read_toml, shown

Range = Literal["histogram", "minmax", "percentile", "mse"]
WeightScale = Literal["non-saturating", "full"]
Rounding = Literal["gptq", "nearest"]
ActivationType = Literal["uint8", "int8", "uint16", "float"]
Fallback = Literal["float", "sixteen_bit"]

MERGED_BY = "+"  # between the names of layers of the reference that are one in a lowered model
ACTIVATION_BITS: dict[ActivationType, int] = {"uint8": 8, "int8": 8, "uint16": 16, "float": 32}


@dataclass(frozen=True)
class Recipe:
    """A choice of what to quantize and how.

    Each target has a recipe of its own; a recipe file changes single keys of it.
    """

    # `uint8` with a zero point, or `int8` symmetric (TensorRT); `uint16` as `uint8`, with 16 bits; `float`
    # quantizes weights only, which makes the file small and no faster
    activation: ActivationType = "uint8"
    # how ranges of 8-bit activations are chosen from what calibration saw; `mse` measured best. Those of 16
    # bits have codes to spare, and take twice what was seen
    range: Range = "mse"
    outside: float = 1e-5  # fraction of the values beyond a `percentile` range
    # how much of the range of 8-bit activations moves into the weights (SmoothQuant), 0 for none
    smoothing: float = 0.5
    weight_bits: int = 8  # 8 or fewer
    # `non-saturating` gives the same answers on CPUs without VNNI; `full` uses all codes
    weight_scale: WeightScale = "non-saturating"
    rounding: Rounding = "gptq"  # of weights: `gptq` corrects each one's error in the next; or `nearest`
    depthwise: bool = False  # whether the depthwise convolutions are quantized too
    # whether convolutions are quantized too where a form has matrix products: not all its runtimes have them
    convolutions: bool = False
    keep_float: tuple[str, ...] = ()  # patterns (as of file names) of layers that stay float
    # patterns of layers that get `uint16` activations in place of `uint8`
    sixteen_bit: tuple[str, ...] = ()
    # patterns of layers whose weights alone are quantized: their input stays float, whatever sixteen_bit says
    weights_only: tuple[str, ...] = ()
    # what --max-drop makes of a costly layer: `float`, or `sixteen_bit` activations
    fallback: Fallback = "float"

    def __post_init__(self) -> None:
        self._check_range("weight_bits", 2 <= self.weight_bits <= 8, "Use 2 to 8.")
        self._check_range("smoothing", 0 <= self.smoothing <= 1, "Use 0 to 1.")
        self._check_range("outside", 0 < self.outside < 0.5, "Use a fraction, as 1e-5.")
        if self.widens and self.activation != "uint8":
            raise RecipeError(
                f"recipe: sixteen_bit means nothing with activation = {self.activation!r}",
                hint="It widens uint8 activations: leave sixteen_bit (or fallback) out.",
            )

    def _check_range(self, key: str, fits: bool, hint: str) -> None:
        if not fits:
            raise RecipeError(f"recipe: {key} = {shown(getattr(self, key))} is out of range", hint=hint)

    @property
    def precision(self) -> str:
        """Bits of weights and activations: `int8` (both), `w8a16`; `w8a8a16` where only some are wider."""
        activation = ACTIVATION_BITS[self.activation]
        if (self.weight_bits, activation) == (8, 8) and not self.sixteen_bit:
            return "int8"
        return f"w{self.weight_bits}a{activation}" + ("a16" if self.sixteen_bit else "")

    @property
    def activations(self) -> set[ActivationType]:
        """All types that the recipe may give to activations."""
        wider: set[ActivationType] = {"uint16"} if self.widens else set()
        exact: set[ActivationType] = {"float"} if self.weights_only else set()
        return {self.activation} | wider | exact

    @property
    def widens(self) -> bool:
        """Whether some activations have, or may get, more bits than `activation` says."""
        return bool(self.sixteen_bit) or self.fallback == "sixteen_bit"

    @property
    def smooths(self) -> bool:
        """Whether scale moves from activations to weights: wider activations have no need of it."""
        return self.smoothing > 0 and ACTIVATION_BITS[self.activation] == 8

    def at(self, layer: str) -> Recipe:
        """Return the recipe as one layer sees it, with the activations of `weights_only` or `sixteen_bit`."""
        plain = replace(self, weights_only=(), sixteen_bit=(), fallback="float")
        if matches(layer, self.weights_only):
            return replace(plain, activation="float")
        return replace(plain, activation="uint16") if matches(layer, self.sixteen_bit) else plain

    def relaxed(self, layers: Iterable[str]) -> Recipe:
        """Return the recipe with its `fallback` for these layers too."""
        if self.fallback == "float":
            return replace(self, keep_float=(*self.keep_float, *layers))
        return replace(self, sixteen_bit=(*self.sixteen_bit, *layers))

    @property
    def largest_code(self) -> int:
        """The largest code of a weight; the smallest is its negative."""
        return int(2 ** (self.weight_bits - 1)) - 1

    @property
    def avoids_saturation(self) -> bool:
        """Whether pairs of weight codes need bounding: those of 8 bits next to activations of 8 bits."""
        both = self.weight_bits == ACTIVATION_BITS[self.activation] == 8
        return self.weight_scale == "non-saturating" and both

    def to_json(self) -> dict[str, Any]:
        """Return the keys and values as the sidecar holds them."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    def with_changes(self, changes: dict[str, Any], *, source: str) -> Recipe:
        """Return the recipe with `changes` by key; raises RecipeError for an unknown key or a wrong value."""
        hints = get_type_hints(Recipe)
        for key, value in changes.items():
            if key not in hints:
                known = [field.name for field in fields(Recipe)]
                raise RecipeError(
                    f"{source}: unknown key {shown(key)}",
                    hint=f"{nearest(key, known)}Known keys: {', '.join(known)}.",
                )
            _check(source, key, value, hints[key])
        tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
        return replace(self, **tuples)


def matches(layer: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns, as of file names, is of that layer or of one that went into it."""
    return any(fnmatchcase(name, pattern) for name in names_of(layer) for pattern in patterns)


def names_of(layer: str) -> list[str]:
    """Return a layer's name, and those of the layers that became one: a.b+c.0 is a.b.0 and a.c.0."""
    parts = [part.split(MERGED_BY) for part in layer.split(".")]
    return [layer, *(".".join(each) for each in product(*parts))]


def read_recipe(path: Path, base: Recipe) -> Recipe:
    """Return `base` with the changes of the TOML file at `path`; raises RecipeError for a wrong file."""
    try:
        changes = read_toml(path)
    except OSError as error:
        raise RecipeError(
            f"cannot read the recipe {path}: {error.strerror}", hint="Check the path."
        ) from error
    except DamagedError as error:
        raise RecipeError(
            f"{path} {str(error).removeprefix('it ')}", hint='A line of a recipe is as: range = "mse"'
        ) from error
    return base.with_changes(changes, source=str(path))


def _check(source: str, key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        valid, wanted = value in get_args(hint), "one of " + ", ".join(map(repr, get_args(hint)))
    elif get_origin(hint) is tuple:
        valid = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        wanted = "a list of strings"
    elif hint is float:
        valid, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    else:
        valid, wanted = type(value) is hint, {bool: "true or false", int: "a whole number"}[hint]
    if not valid:
        near = (
            nearest(value, get_args(hint)) if isinstance(value, str) and get_origin(hint) is Literal else ""
        )
        raise RecipeError(
            f"{source}: {key} = {shown(value)} is not {wanted}", hint=f"{near}Give {key} {wanted}."
        )
