"""Where in a checkpoint a ConvNeXt is, and which one is meant where there are several.

A ConvNeXt is where its stem has a name that a library gives it, under whatever prefix. Training scripts keep
the plain weights beside an average of them (EMA, SWA), or a student beside its teacher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from convnext_edge.architecture import Shape
from convnext_edge.checkpoints.layouts import LAYOUTS, Layout
from convnext_edge.errors import CheckpointError
from convnext_edge.tasks import Task

Weights = Literal["ema", "plain"]

# Words in the prefix of averaged weights, those of PyTorch's AveragedModel, timm, the authors and others.
AVERAGED = {"ema", "averaged", "average", "averages", "avg", "swa", "teacher", "shadow"}
OF_AVERAGED_MODEL = "n_averaged"  # what torch.optim.swa_utils.AveragedModel keeps beside `module`
# MMEngine writes the average in the place of the plain weights and these into `ema_state_dict`, which has a
# counter `steps`; Lightning's WeightAveraging does likewise, with `current_model_state`.
SWAPPED = ("ema_state_dict.steps", "current_model_state.")
# Parts of a prefix under which optimizers keep values of each weight, by its name; exp_avg is none of these
# averages, but one of gradients.
OF_OPTIMIZERS = re.compile(
    r"(\w*optim(s|izers?)?(_\w+)?|opt_states?|(max_)?exp_(avg|inf)(_\w+)?|momentum\w*)"
)
FIRST_BLOCK = "stages.0.blocks.0.dwconv.weight"
WORDS = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Selection:
    """Which of the models in a checkpoint is meant, and what for."""

    weights: Weights | None = None  # None takes the averaged ones where there are both
    task: Task | None = None  # None where the tensors tell it


@dataclass(frozen=True)
class Place:
    """Where the tensors of one ConvNeXt are."""

    layout: Layout
    prefix: str  # of all its names
    known: int  # names under the prefix that the layout has
    whole: bool  # whether it has a block, besides a stem

    @property
    def stem(self) -> str:
        """The name of the stem's weight."""
        return self.prefix + self.layout.marks[0]

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.prefix or "the top"

    def has(self, name: str) -> bool:
        """Tell whether a tensor of that name is one of this ConvNeXt."""
        return name.startswith(self.prefix) and self.layout.rename(name.removeprefix(self.prefix)) is not None

    def names(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
        """Yield our name and the shape of each of its tensors that the layout has."""
        for name, shape in shapes.items():
            ours = (
                self.layout.rename(name.removeprefix(self.prefix)) if name.startswith(self.prefix) else None
            )
            if ours is not None:
                yield ours, shape

    def part_of(self, other: Place) -> str:
        """Return the part of the prefix with which all begins that is of this place, and not of the other.

        Empty where there is no such part.
        """
        own, its = self.prefix.split(".")[:-1], other.prefix.split(".")[:-1]
        for count, part in enumerate(own, 1):
            if own[:count] != its[:count]:
                return ".".join(own[:count]) + "." if part else ""
        return ""


@dataclass(frozen=True)
class Choice:
    """The place that was chosen, and what was not."""

    place: Place
    others: tuple[Place, ...] = ()
    taken: str | None = None  # says which weights these are, where there is more to say than the prefix


def choose(shapes: Mapping[str, Shape], where: str, weights: Weights | None) -> Choice | None:
    """Return the place of the model that is meant; None where there is no ConvNeXt at all.

    where: name of the checkpoint, for messages. Raises CheckpointError where several may be meant, or none.
    """
    places = find_places(shapes)
    if not places:
        return None
    averaged = [place for place in places if _is_averaged(place, places, shapes)]
    plain = [place for place in places if place not in averaged]
    if weights == "ema" or (weights is None and averaged and _is_average_of(averaged, plain, shapes)):
        wanted, rest = averaged, plain
    else:
        wanted, rest = plain, averaged
    if not wanted:
        kind, other = ("averaged", "plain") if weights == "ema" else ("plain", "averaged")
        raise CheckpointError(
            f"{where} has no {kind} weights, only {other} ones under {_titles(rest)}",
            hint=f"Leave --weights out, or take --weights {'plain' if weights == 'ema' else 'ema'}.",
        )
    if len(wanted) > 1:
        raise CheckpointError(
            f"{where} holds several ConvNeXts, under {_titles(wanted)}",
            hint="Save the tensors of the one that is meant in a file of its own."
            + (" Or choose with --weights ema or plain." if rest and weights is None else ""),
        )
    return Choice(
        wanted[0], tuple(place for place in places if place != wanted[0]), _told(wanted[0], averaged, rest)
    )


def find_places(shapes: Mapping[str, Shape]) -> list[Place]:
    """Return a place for each stem that is found, in the layout in which most tensors have a known name.

    Stems without any block are of other networks, and count only where there are no others.
    """
    best: dict[str, Place] = {}
    for layout in LAYOUTS:
        for prefix in _prefixes(layout, shapes):
            inside = [name.removeprefix(prefix) for name in shapes if name.startswith(prefix)]
            ours = [layout.rename(name) for name in inside]
            known = sum(name is not None for name in ours)
            found = Place(layout, prefix, known, FIRST_BLOCK in ours)
            if found.stem not in best or (found.whole, known) > (
                best[found.stem].whole,
                best[found.stem].known,
            ):
                best[found.stem] = found
    whole = [place for place in best.values() if place.whole]
    return whole or list(best.values())


def _prefixes(layout: Layout, shapes: Mapping[str, Shape]) -> Iterator[str]:
    first = layout.marks[0]
    for name in shapes:
        if name == first or name.endswith("." + first):
            prefix = name.removesuffix(first)
            of_optimizer = any(OF_OPTIMIZERS.fullmatch(part) for part in prefix.split("."))
            if not of_optimizer and all(prefix + mark in shapes for mark in layout.marks):
                yield prefix


def _is_averaged(place: Place, places: Sequence[Place], shapes: Mapping[str, Shape]) -> bool:
    """Tell whether these are averaged weights, by their prefix and by what lies beside."""
    words = set(WORDS.findall(place.prefix.lower()))
    named = bool(words & AVERAGED) or place.prefix.removesuffix("module.") + OF_AVERAGED_MODEL in shapes
    swapped = next((mark for mark in SWAPPED if any(name.startswith(mark) for name in shapes)), None)
    if swapped is None or len(places) == 1:
        return named
    return not place.prefix.startswith(swapped.partition(".")[0] + ".")


def _is_average_of(averaged: Sequence[Place], plain: Sequence[Place], shapes: Mapping[str, Shape]) -> bool:
    """Tell whether averaged weights may be an average of the plain ones.

    A teacher may be a larger model, or tell other classes apart.
    """
    if len(averaged) != 1 or not plain:
        return True
    return any(dict(averaged[0].names(shapes)) == dict(one.names(shapes)) for one in plain)


def _told(place: Place, averaged: Sequence[Place], rest: Sequence[Place]) -> str | None:
    """Return what is said of a choice; None where there was none, and nothing is unusual."""
    kind, other = ("averaged (EMA)", "plain") if place in averaged else ("plain", "averaged")
    if not rest:
        return f"{kind} weights, under {place.title}" if place in averaged else None
    choice = "plain" if place in averaged else "ema"
    return (
        f"{kind} weights, under {place.title}, and not the {other} ones under {_titles(rest)},"
        f" which --weights {choice} takes"
    )


def _titles(places: Sequence[Place]) -> str:
    return " and ".join(sorted(place.title for place in places))
