"""The one loop that runs a candidate and the reference over the same images and compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from convnext_edge.artifacts.artifact import Description
from convnext_edge.errors import ImageSetError, TargetError
from convnext_edge.evaluation.answers import AnswerLog
from convnext_edge.images.batches import Batch, Labels
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import track
from convnext_edge.targets.base import Images, Outputs

BATCH = 8  # images in a call
MOST_VALUES = 2**25  # of the answers of a call, 128 MiB: a call has them, and as many of the reference

Answer: TypeAlias = Callable[[Images], Outputs]


@dataclass(frozen=True)
class Inputs:
    """The images that both models get, and the form in which the candidate takes them."""

    images: ImageSet
    preprocessing: Preprocessing
    raw_bytes: bool  # the candidate takes uint8; if not, it takes normalized float32, as the reference
    batch: int  # images in a call
    process: int = 0  # number of this process, 0-based
    processes: int = 1  # number of processes, which share the batches


def batch_for(described: Description, most: int = BATCH) -> int:
    """Return how many images go in a call: `most`, or fewer of a model whose answers are large."""
    architecture = described.architecture
    values = architecture.classes * prod(described.preprocessing.size) if architecture.decoder else 1
    return max(1, min(most, MOST_VALUES // values))


class Measure(Protocol):
    """What sums up how far the outputs of two models are from each other."""

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        """Add what both models answer to a batch of images."""
        ...


def check_finite(outputs: Outputs, names: Sequence[str]) -> None:
    """Raise TargetError where a model answers with NaN or infinity. names: of the images."""
    for output in outputs:
        finite = np.isfinite(output).reshape(len(output), -1).all(axis=1)
        if not finite.all():
            raise TargetError(
                f"the model answers with NaN or infinity to {names[int(np.argmin(finite))]}",
                hint="Quantize it again, with other images or another recipe.",
            )


Found = TypeVar("Found", bound=Measure)


class Answered(NamedTuple):
    """What both models answer to a batch of images."""

    reference: Outputs
    candidate: Outputs
    labels: Labels
    names: Sequence[str]


def compare_answers(
    reference: Answer, candidate: Answer, inputs: Inputs, found: Found, *, purpose: str
) -> Found:
    """Run both models over the images, and let `found` sum up how they differ; each is decoded once.

    purpose: text of the progress bar.
    """
    return sum_up(answers_of_both(reference, candidate, inputs, purpose=purpose), found)


def sum_up(answers: Iterable[Answered], found: Found, log: AnswerLog | None = None) -> Found:
    """Let `found` sum up how the answers differ. log: what else gets all answers, one by one.

    Raises ImageSetError, with the names of the images, for labels that the model does not have.
    """
    for both in answers:
        try:
            found.add_outputs(both.reference, both.candidate, both.labels)
        except ImageSetError as error:
            of_several = "one of " if len(both.names) > 1 else ""
            where = f"in {of_several}{', '.join(both.names)}"
            raise ImageSetError(f"{error.message}; {where}", hint=error.hint) from error
        if log is not None:
            log.add(*both)
    return found


def answers_of_both(
    reference: Answer, candidate: Answer, inputs: Inputs, *, purpose: str
) -> Iterator[Answered]:
    """Yield what both models answer to the images, batch by batch; as `answer_both`."""
    batches = inputs.images.batches(inputs.preprocessing, batch=inputs.batch, dtype="uint8")
    tracked = track(batches, purpose, total=len(inputs.images), step=inputs.batch)
    for number, batch in enumerate(tracked):
        if number % inputs.processes == inputs.process:
            yield Answered(*answer_both(reference, candidate, batch, inputs), batch.labels, batch.names)


def answer_both(
    reference: Answer, candidate: Answer, batch: Batch, inputs: Inputs
) -> tuple[Outputs, Outputs]:
    """Return what both models answer to a batch of bytes; raise TargetError where it is not finite."""
    normalized = as_reference_takes(batch.images, inputs.preprocessing)
    answer = candidate(batch.images if inputs.raw_bytes else normalized)
    check_finite(answer, batch.names)
    exact = reference(normalized)
    check_alike(exact, answer)
    return exact, answer


def check_alike(exact: Outputs, answer: Outputs) -> None:
    """Raise TargetError where two models answer in different shapes, or what was kept is of another model."""
    shapes = [[output.shape[1:] for output in outputs] for outputs in (exact, answer)]
    if shapes[0] != shapes[1]:
        raise TargetError(
            f"the reference answers an image with {shapes[0]} numbers, and the candidate with {shapes[1]}",
            hint="Remove the folder `answers` of the workspace, or make the model again.",
        )
