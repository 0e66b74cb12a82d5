"""The run of `predict`: pictures are read, prepared and shown to the model, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from convnext_edge.artifacts.artifact import Description
from convnext_edge.commands.predict.answers import Reader, cosines
from convnext_edge.commands.predict.maps import MapWriter
from convnext_edge.commands.predict.objects import ObjectWriter
from convnext_edge.commands.predict.outputs import Kept, Saver
from convnext_edge.commands.predict.result import Failed, Prediction
from convnext_edge.commands.text import printable
from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.comparison import batch_for, check_finite
from convnext_edge.evaluation.promises import promised
from convnext_edge.images.batches import Batch, LoadedImage, SkippedImage, collate
from convnext_edge.images.objects import split
from convnext_edge.images.pictures import Loader, Picture
from convnext_edge.parallel import default_workers, ordered_map
from convnext_edge.progress import note, track
from convnext_edge.targets.base import Outputs, Session

BATCH = 8
MOST_COSINES = 10  # pictures whose embeddings are compared with each other
NAMED = 10  # pictures that could not be read and are named on standard error


@dataclass
class Run:
    """One run of a model over pictures, with what is found so far; memory grows by the answers alone."""

    session: Session
    described: Description
    reader: Reader
    kept: Kept
    maps: MapWriter | None = None  # writes label maps and overlays
    failed: list[Failed] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)

    def over(self, pictures: list[Picture], saver: Saver | None = None) -> dict[str, Any]:
        """Run the model over pictures; return the fields of the result that follow.

        Raises ImageSetError where no picture can be read, TargetError where the model fails at one.
        """
        started = time.perf_counter()
        loader = self.loader()
        self._answer(pictures, loader, saver)
        if not self.predictions:
            raise nothing_read(self.failed)
        self.kept.finish()
        if saver is not None:
            saver.finish([row.picture for row in self.predictions])
        tell(self.failed)
        return {
            "predictions": tuple(self.predictions),
            "failed": tuple(self.failed),
            "cosines": self._cosines(),
            "seconds": round(time.perf_counter() - started, 3),
            "warnings": turned(len(loader.turned)),
        }

    def loader(self) -> Loader:
        """Return what makes inputs of the pictures."""
        return Loader(self.described.preprocessing)

    def _loaded(self, pictures: list[Picture], loader: Loader) -> Iterator[LoadedImage]:
        workers = default_workers()
        # the next batch is decoded while the model works on this one
        loaded = ordered_map(loader.load, pictures, workers=workers, look_ahead=BATCH + workers)
        return self._sound(track(loaded, "predicting", total=len(pictures)) if len(pictures) > 1 else loaded)

    def _answer(self, pictures: list[Picture], loader: Loader, saver: Saver | None) -> None:
        prepared, kind = self.described.preprocessing, self.described.input_type
        size = batch_for(self.described, BATCH)
        for batch in collate(self._loaded(pictures, loader), prepared, batch=size, dtype=kind):
            outputs = promised(self.session.run_all, self.described)(batch.images)
            check_finite(outputs, batch.names)
            self.predictions += self._with_maps(self.reader.read(batch, outputs), batch, outputs)
            self.kept.add(outputs)
            if saver is not None:
                saver.add(outputs)

    def _with_maps(self, found: list[Prediction], batch: Batch, outputs: Outputs) -> list[Prediction]:
        """Write the files of each picture where they were asked for, and return where they are, too."""
        if self.maps is None:
            return found
        if isinstance(self.maps, ObjectWriter):
            return self._with_objects(self.maps, found, batch, outputs)
        rows = []
        for row, image, logits in zip(found, batch.images, outputs[0], strict=True):
            label_map, overlay = self.maps.write(row.picture, image, logits.argmax(0))
            rows.append(replace(row, label_map=label_map, overlay=overlay))
        return rows

    def _with_objects(
        self, writer: ObjectWriter, found: list[Prediction], batch: Batch, outputs: Outputs
    ) -> list[Prediction]:
        labels, threshold = self.reader.labels, self.reader.threshold
        return [
            replace(row, overlay=writer.draw(row.picture, image, each, labels, threshold))
            for row, image, each in zip(found, batch.images, split(outputs), strict=True)
        ]

    def _sound(self, loaded: Iterable[LoadedImage | SkippedImage]) -> Iterator[LoadedImage]:
        """Yield the pictures that could be read, and keep the others apart."""
        for image in loaded:
            if isinstance(image, SkippedImage):
                self.failed.append(Failed(image.name, image.reason))
            else:
                yield image

    def _cosines(self) -> tuple[tuple[float, ...], ...] | None:
        if self.described.task != "embed" or not 2 <= len(self.predictions) <= MOST_COSINES:
            return None
        return None if self.kept.arrays is None else cosines(self.kept.arrays["embedding"])


def nothing_read(failed: list[Failed]) -> ImageSetError:
    """Return the error that says why no picture could be read."""
    first = f"{printable(failed[0].picture)}: {failed[0].reason}"
    what = first if len(failed) == 1 else f"none of {len(failed)} pictures can be read, such as {first}"
    return ImageSetError(what, hint="Give pictures, folders or archives of pictures.")


def tell(failed: list[Failed]) -> None:
    """Name pictures that could not be read on standard error."""
    for picture in failed[:NAMED]:
        note(f"NOT read: {printable(picture.picture)}: {picture.reason}")
    if len(failed) > NAMED:
        note(f"NOT read: {len(failed) - NAMED} more, which --json names")


def turned(count: int) -> tuple[str, ...]:
    """Return, as a sentence, that pictures are stored turned; none where all are upright."""
    if not count:
        return ()
    sentence = (
        f"EXIF says that {count} of the pictures should be shown turned; the model sees them as they are"
        " stored, as in validate"
    )
    note(f"WARNING: {sentence}")
    return (sentence,)
