"""The calibration images of a job, each decoded once, although a sample of them is looked at twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convnext_edge.progress import track
from convnext_edge.quantization.job import Job

Image = NDArray[Any]  # (3, H, W), of the input's type


class CalibrationImages:
    """The calibration images of a job: a sample of them may be read first, and then all of them once."""

    def __init__(self, job: Job, *, sample: int) -> None:
        images = job.images
        chosen = images.subset(sample, seed=0).entries if sample < len(images) else images.entries
        self.sample_names = [entry.name for entry in chosen]
        self.names = [entry.name for entry in images.entries]
        first = set(chosen)
        order = (*chosen, *(entry for entry in images.entries if entry not in first))
        self.position = {entry.name: number for number, entry in enumerate(order)}
        # one set with one log, so that broken images count as those of all that calibrate
        self.batch = job.batch
        batches = replace(images, entries=order).batches(
            job.source.preprocessing, batch=self.batch, dtype=job.input_type
        )
        self.decoded = ((name, image) for b in batches for name, image in zip(b.names, b.images, strict=True))
        self.reached = -1  # position of the last image that was decoded
        self.kept: dict[str, Image] = {}  # decoded, but not yet read by `read_all`

    def read_sample(self) -> Iterator[Tensor]:
        """Yield the sample in batches (N, 3, H, W), in the order of the set, behind a progress bar."""
        found = (self._decode(name) for name in self.sample_names)
        images = (image for image in found if image is not None)
        batches = stack(images, self.batch)
        return track(batches, "smoothing", total=len(self.sample_names), step=self.batch)

    def read_all(self) -> Iterator[Tensor]:
        """Yield all images in batches (N, 3, H, W), in the order of the set, behind a progress bar."""
        batches = stack(self._take_all(), self.batch)
        return track(batches, "calibrating", total=len(self.names), step=self.batch)

    def _take_all(self) -> Iterator[Image]:
        for name in self.names:
            image = self._decode(name)
            if image is not None:
                del self.kept[name]
                yield image

    def _decode(self, name: str) -> Image | None:
        """Decode up to an image and keep it; returns None where it is broken."""
        while self.reached < self.position[name]:
            found, image = next(self.decoded, (None, None))
            if found is None or image is None:
                return None
            self.reached, self.kept[found] = self.position[found], image
        return self.kept.get(name)


def stack(images: Iterable[Image], size: int) -> Iterator[Tensor]:
    """Yield images (3, H, W) as batches (N, 3, H, W) with the channels of a pixel side by side in memory.

    size: N, but of the last batch. Convolutions of such channels-last tensors run a tenth faster.
    """
    remaining = iter(images)
    while group := list(islice(remaining, size)):
        yield torch.from_numpy(np.stack(group)).to(memory_format=torch.channels_last)
