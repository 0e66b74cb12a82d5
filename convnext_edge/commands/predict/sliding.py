"""The run of `predict --sliding-window`: a segmenter sees whole pictures, one at a time, by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Description
from convnext_edge.commands.predict.outputs import Saver, check_place
from convnext_edge.commands.predict.result import Prediction
from convnext_edge.commands.predict.run import BATCH, Run
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.comparison import batch_for, check_finite
from convnext_edge.evaluation.promises import promised
from convnext_edge.evaluation.sliding import check_sliding, mean_logits
from convnext_edge.images.batches import LoadedImage
from convnext_edge.images.pictures import Loader, Picture
from convnext_edge.images.windows import classes_at


@dataclass
class SlidingRun(Run):
    """One run of a segmenter over pictures, whose label maps have the size of the pictures."""

    def loader(self) -> Loader:
        """Return what reads the pictures, at their own size."""
        return Loader(self.described.preprocessing, whole=True)

    def _answer(self, pictures: list[Picture], loader: Loader, saver: Saver | None) -> None:
        for image in self._loaded(pictures, loader):
            self.predictions.append(self._of_picture(image))

    def _of_picture(self, image: LoadedImage) -> Prediction:
        described, name, pixels = self.described, image.entry.name, image.pixels
        raw, batch = described.input_type == "uint8", batch_for(described, BATCH)
        answer = promised(self.session.run_all, described)
        logits = mean_logits(answer, pixels, described.preprocessing, raw_bytes=raw, batch=batch)
        check_finite((logits[None],), (name,))
        classes = classes_at(logits, (pixels.shape[0], pixels.shape[1]))
        row = self.reader.areas(name, classes)
        if self.maps is None:
            return row
        label_map, overlay = self.maps.write(name, pixels.transpose(2, 0, 1), classes)
        return replace(row, label_map=label_map, overlay=overlay)


def check_files(
    described: Description, place: Path | None, names: Sequence[str], *, sliding_window: bool
) -> None:
    """Raise UsageError where windows cannot slide over pictures, or outputs cannot be saved.

    place: the file to save them in, if any. names: of the outputs.
    """
    if sliding_window:
        check_sliding(described.task)
    if place is not None:
        check_place(place, names)
    if place is not None and sliding_window:
        raise UsageError(
            "--save holds outputs of one size, and those of --sliding-window have the sizes of the pictures",
            hint="Leave one of them out; --maps writes label maps of any size.",
        )
