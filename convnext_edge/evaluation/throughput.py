"""Throughput: how many requests a second models answer with several requests of each in flight.

The models take turns by windows of at most a second, so that a busy machine slows all alike.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from convnext_edge.evaluation.timing import SETTLE, WARM_UP
from convnext_edge.progress import track
from convnext_edge.targets.base import Images
from convnext_edge.targets.streams import Request, Streams

LONGEST = 1.0  # seconds of a window
FEWEST = 5  # windows: with fewer, there is no interval of their median


@dataclass(frozen=True)
class InFlight:
    """What was counted of a model with several requests in flight."""

    rates: list[float] = field(default_factory=list)  # requests a second of each window
    milliseconds: list[float] = field(default_factory=list)  # of each request

    def add(self, window: list[list[Request]]) -> None:
        """Count the requests of each stream. A stream has its own rate, as their last requests end apart."""
        self.rates.append(sum(len(requests) / requests[-1][1] for requests in window))
        for requests in window:
            self.milliseconds.extend(1000 * (end - start) for start, end in requests)


def in_flight(models: list[tuple[Streams, Images]], seconds: float) -> list[InFlight]:
    """Keep several requests of each model in flight, for about `seconds` of each.

    A window lasts until its requests are answered: of a slow model, one of each stream.
    """
    count = max(math.ceil(seconds / LONGEST), FEWEST)
    found = [InFlight() for _ in models]
    end = time.perf_counter() + seconds * len(models)
    for streams, images in models:
        for _ in range(WARM_UP):
            streams.keep_busy(images, 0.0)
    for turn in track(range(count), "counting requests", total=count):
        if turn >= FEWEST and time.perf_counter() > end:
            break
        for counted, (streams, images) in zip(found, models, strict=True):
            time.sleep(SETTLE)
            counted.add(streams.keep_busy(images, seconds / count))
    return found
