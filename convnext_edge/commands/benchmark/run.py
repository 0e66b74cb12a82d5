"""Timing one batch size: single calls in turns, then several requests in flight, then layers and memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.kept_weights import open_source
from convnext_edge.commands.benchmark.asked import Asked
from convnext_edge.commands.benchmark.result import (
    LayerRow,
    Measurement,
    Milliseconds,
    Throughput,
    histogram,
    percentiles,
)
from convnext_edge.errors import TargetError
from convnext_edge.evaluation import rival, timing
from convnext_edge.evaluation.candidates import open_session, open_streams
from convnext_edge.evaluation.layer_times import profile
from convnext_edge.evaluation.load import watched_load
from convnext_edge.evaluation.memory import peak_rss
from convnext_edge.evaluation.throughput import InFlight, in_flight
from convnext_edge.images.noise import noise
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.threads import operator_threads
from convnext_edge.progress import phase
from convnext_edge.targets.base import Images, Session
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.torch import TorchSession, TorchStreams

PROFILED = 20  # calls of a session that times layers


@dataclass(frozen=True)
class Run:
    """An artifact that is to be timed on a target."""

    artifact: Artifact
    target: str
    workspace: Workspace
    asked: Asked

    @cached_property
    def reference(self) -> ConvNeXt:
        """The FP32 PyTorch model that the artifact was made of."""
        return open_source(self.artifact, self.workspace).reference

    def measure(self, batch: int) -> Measurement:
        """Measure all that was asked for, with calls of `batch` images."""
        images = noise_for(self.artifact, batch)
        with watched_load() as load:
            times = self.one_at_a_time(images)
        reference_ms, candidate_ms, *fp16_ms = map(percentiles, times)
        speedup = timing.times_as_fast(times[0], times[1])
        doubt = timing.doubt(times, load, threads=self.asked.threads)
        flight, doubt_in_flight = self.in_flight(images)
        return Measurement(
            batch=batch,
            runs=len(times[0]),
            candidate_ms=candidate_ms,
            reference_ms=reference_ms,
            speedup=speedup.value,
            speedup_ci95=(speedup.low, speedup.high),
            reliable=not (doubt or doubt_in_flight),
            doubt=doubt or doubt_in_flight,
            throughput_ips=flight.candidate_ips if flight else round(1000 * batch / candidate_ms.p50, 2),
            peak_rss_bytes=self.memory(batch, flight.streams if flight else 1),
            fp16_ms=fp16_ms[0] if fp16_ms else None,
            advice=advice(candidate_ms, fp16_ms[0]) if fp16_ms else None,
            candidate_histogram=histogram(times[1]),
            reference_histogram=histogram(times[0]),
            throughput=flight,
            layers=self.layers(batch) if self.asked.layers else (),
        )

    def one_at_a_time(self, images: Images) -> list[list[float]]:
        """Return milliseconds of single calls: of reference, candidate and, if INT8 has one, FP16 rival."""
        asked = self.asked
        reference = TorchSession(self.reference, asked.threads)
        normalized = as_reference_takes(images, self.artifact.description.preprocessing)
        with open_session(self.artifact, self.target, asked.threads) as candidate:
            refuse_simulated(candidate, self.target)
            calls: list[Callable[[], object]] = [
                lambda: reference.run(normalized),
                lambda: candidate.run(images),
            ]
            with rival.open_rival(self.artifact, self.target, self.workspace) as fp16:
                if fp16 is not None:
                    calls.append(lambda: fp16.run(images))
                with self._phase(), operator_threads(asked.threads):
                    return timing.interleave(tuple(calls), asked.runs, seconds=asked.seconds)

    def in_flight(self, images: Images) -> tuple[Throughput | None, str]:
        """Return the throughput with several requests in flight, and why not to rely on it; None unasked."""
        asked, seconds = self.asked, self.asked.in_flight_seconds
        if seconds is None:
            return None, ""
        normalized = as_reference_takes(images, self.artifact.description.preprocessing)
        with open_streams(self.artifact, self.target, asked.streams, asked.threads) as candidate:
            count = candidate.count
            with TorchStreams(self.reference, count, asked.threads) as reference:
                models = [(candidate, images), (reference, normalized)]
                with watched_load() as load, self._phase():
                    found, other = in_flight(models, seconds)
        turns = [[1 / rate for rate in one.rates] for one in (found, other)]
        doubt = timing.doubt(turns, load, threads=asked.threads)
        return throughput(found, other, (count, candidate.threads), len(images), seconds), doubt

    def layers(self, batch: int) -> tuple[LayerRow, ...]:
        """Return the time of each layer that took any."""
        runs = min(self.asked.runs, PROFILED)
        target = find_target(self.target)
        times = profile(self.artifact, target, batch=batch, runs=runs, threads=self.asked.threads)
        total = sum(layer.milliseconds for layer in times.values())
        return tuple(
            LayerRow(
                name=name,
                operator=layer.operator,
                kernel=layer.kernel,
                ms=round(layer.milliseconds, 5),
                share=round(layer.milliseconds / total, 5),
            )
            for name, layer in times.items()
            if layer.milliseconds
        )

    def memory(self, batch: int, streams: int) -> int | None:
        """Return the peak of memory of a process that has nothing but the candidate."""
        threads = self.asked.threads
        return peak_rss(self.artifact, self.target, batch=batch, threads=threads, streams=streams)

    def _phase(self) -> AbstractContextManager[None]:
        return phase(f"timing {self.artifact.path.name} on {self.target}")


def noise_for(artifact: Artifact, batch: int) -> Images:
    """Return random images of the model's size and type."""
    described = artifact.description
    return noise(described.preprocessing.shape, described.input_type, batch=batch)


def refuse_simulated(session: Session, target: str) -> None:
    """Raise TargetError for a simulation, which has no latency worth telling."""
    if session.simulated:
        raise TargetError(
            f"{target} cannot be timed here ({session.label})",
            hint="Run benchmark on the device; validate works here.",
        )


def throughput(
    candidate: InFlight, reference: InFlight, flight: tuple[int, int], batch: int, seconds: float
) -> Throughput:
    """Return the figures of what was counted. flight: requests in flight, and threads of each."""
    speedup = timing.times_as_fast(candidate.rates, reference.rates)
    (ips, ips_ci95), (other_ips, other_ci95) = (per_second(one, batch) for one in (candidate, reference))
    return Throughput(
        streams=flight[0],
        threads=flight[1],
        seconds=seconds,
        requests=len(candidate.milliseconds),
        candidate_ips=ips,
        candidate_ips_ci95=ips_ci95,
        reference_ips=other_ips,
        reference_ips_ci95=other_ci95,
        speedup=speedup.value,
        speedup_ci95=(speedup.low, speedup.high),
        candidate_ms=percentiles(candidate.milliseconds),
        reference_ms=percentiles(reference.milliseconds),
        candidate_histogram=histogram(candidate.milliseconds),
        reference_histogram=histogram(reference.milliseconds),
    )


def per_second(counted: InFlight, batch: int) -> tuple[float, tuple[float, float]]:
    """Return the median of images a second, and its 95 % interval."""
    images = batch * np.array(counted.rates)
    return round(float(np.median(images)), 2), timing.interval_of_median(images)


def advice(int8: Milliseconds, fp16: Milliseconds) -> str:
    """Return which engine to ship: INT8 has its price in accuracy, and must be faster to be worth it."""
    return "ship INT8" if int8.p50 < fp16.p50 else "ship FP16"
