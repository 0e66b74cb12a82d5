"""The source of a model: its FP32 reference, with all that is known about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Description
from convnext_edge.checkpoints.class_names import names_of_file
from convnext_edge.checkpoints.preparation.found import about
from convnext_edge.errors import UsageError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt, part_of
from convnext_edge.tasks import WITH_CLASSES, Task, fit, output_names


@dataclass(frozen=True)
class Source:
    """The FP32 reference model, with what is known about it."""

    reference: ConvNeXt
    stem: str  # first part of the names of the files that are made from it
    variant: str | None  # None for an architecture that is none of the published ones
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()  # names in the order of the labels; empty where unknown
    layout: str | None = None  # of the checkpoint; None where no library wrote it
    usual_resolution: int | None = None  # the variant's own; None where the model is no named variant
    task: Task = "classify"
    assumed: tuple[str, ...] = ()  # what no tensor shows, nothing told and nobody proved
    left_out: tuple[str, ...] = ()  # of a checkpoint: names of tensors that are not of the image model
    classes_from: str | None = None  # the file that names the classes
    taken: str | None = None  # of a checkpoint with several weights: which these are
    prepared_by: str = "its sidecar says"  # who tells how images are prepared, as the end of a sentence

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the model answers, in its order."""
        return output_names(self.task, self.reference.architecture)

    @classmethod
    def of(cls, reference: ConvNeXt, description: Description) -> Source:
        """Return the source that a sidecar describes, with its weights as `reference`."""
        return cls(
            reference=reference,
            stem=description.stem,
            variant=description.variant,
            preprocessing=description.preprocessing,
            classes=description.classes,
            layout=description.layout,
            usual_resolution=description.usual_resolution,
            task=description.task,
            assumed=description.assumed,
        )

    def describe(self) -> Description:
        """Return the description of the weights in our own layout, for their sidecar."""
        return Description(
            kind="weights",
            stem=self.stem,
            variant=self.variant,
            architecture=self.reference.architecture,
            preprocessing=self.preprocessing,
            classes=self.classes,
            layout=self.layout,
            usual_resolution=self.usual_resolution,
            task=self.task,
            assumed=self.assumed,
        )

    def proved(self) -> Source:
        """Return the source with nothing assumed but how images are prepared, which answers do not prove."""
        return replace(self, assumed=about(self.assumed, images=True))

    def with_class_names(self, path: Path | None) -> Source:
        """Return the source with the class names of a file, if any; raise UsageError if they do not fit."""
        if path is None:
            return self
        if self.task not in WITH_CLASSES:
            raise UsageError(
                f"--classes: the task of {self.stem} is {self.task}, which has none", hint="Leave it out."
            )
        named = names_of_file(path, self.reference.architecture.classes)
        return replace(self, classes=named.names, classes_from=named.source)

    def for_task(self, task: Task | None, *, with_map: bool = False) -> Source:
        """Return the part of the model that another task takes, under a name of its own.

        Raises UsageError as `tasks.fit` does.
        """
        whole, wanted = self.reference.architecture, task or self.task
        part = fit(whole, wanted, self.task, with_map=with_map)
        if part == whole and wanted == self.task:
            return self
        stem = f"{self.stem}-{wanted}" + ("-map" if with_map else "")
        classes = self.classes if part.classes else ()
        return replace(self, reference=part_of(self.reference, part), task=wanted, stem=stem, classes=classes)
