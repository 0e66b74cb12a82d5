"""The work on a cell, step by step: each takes what is kept, or does it and keeps it when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.locks import reading, release
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.command import benchmark
from convnext_edge.commands.compare.contest import Contest, Work
from convnext_edge.commands.compare.grid.identity import check_key, export_key, make_key, time_key
from convnext_edge.commands.compare.grid.kept import Kind, find_made, find_part, keep_made, keep_part
from convnext_edge.commands.compare.grid.plan import Cell, Model, Started
from convnext_edge.commands.export import export
from convnext_edge.commands.validate.command import validate
from convnext_edge.commands.validate.shards import CandidateShard, Seen, candidate_shard, join_validate
from convnext_edge.evaluation.kept_answers import keep_shards
from convnext_edge.evaluation.shards import Shard, Share, can_share
from convnext_edge.quantization.start import check_unquantized
from convnext_edge.tasks import output_names


@dataclass(frozen=True)
class Made:
    """An engine, and whether it was there before."""

    engine: Path
    kept: bool


@dataclass(frozen=True)
class Found:
    """What `validate` or `benchmark` says, and whether it was known before."""

    result: dict[str, Any] | None  # None where a simulation has no latency
    kept: bool


def seen_of(work: Work) -> Seen:
    """Return which images both models see."""
    return Seen(work.data, work.limit, work.class_order, work.classes, work.data_root, work.seed)


def start_model(model: Model, work: Work) -> Started:
    """Export a model, and return what is known of it and of the images that it is validated on."""
    with settled():
        artifact = exported(model, work)
        described = artifact.description
        check_unquantized(artifact)
        images = seen_of(work).open(described)
        outputs = output_names(described.task, described.architecture)
        return Started(
            model,
            artifact.path,
            name=described.stem,
            variant=described.variant,
            resolution=described.preprocessing.size_text,
            task=described.task,
            images=len(images),
            digest=images.digest,
            single=not can_share(described.task, outputs),
        )


def exported(model: Model, work: Work) -> Artifact:
    """Return the FP32 artifact of a model."""
    if model.artifact is not None:
        return open_artifact(model.artifact)
    space, key = Workspace(work.workspace), export_key(model, work)
    found = find_made("export", key, space) if key else None
    if found is not None:
        return found
    made = export(
        variant=model.variant,
        checkpoint=model.checkpoint,
        resolution=model.resolution,
        random_weights=model.random_weights,
        workspace=work.workspace,
        seed=work.seed,
    )
    artifact = open_artifact(made.artifact)
    if key:
        keep_made("export", key, artifact, space)
    return artifact


def make(cell: Cell, work: Work) -> Made:
    """Return the engine of a cell: quantized and built, or as it was kept."""
    assert cell.model.path is not None  # of a model that was exported
    space = Workspace(work.workspace)
    with settled():
        key = make_key(cell, open_artifact(cell.model.path), work)
        found = find_made("make", key, space)
        if found is not None:
            return Made(found.path, kept=True)
        release()
        # files of recipes tell the resolution, as all others do
        contest = Contest(cell.model.path, cell.model.path.stem, work)
        path = contest.make_engine(cell.method.asked, cell.target)
        keep_made("make", key, open_artifact(path), space)
        return Made(path, kept=False)


def check(cell: Cell, made: Made, work: Work) -> Found:
    """Return what `validate` says of an engine."""
    with settled():
        key, kept = known_check(cell, made, work)
        if kept is not None:
            return kept
        found = validate(made.engine, **vars(seen_of(work)), workspace=work.workspace).to_json()
        return keep_found("check", key, found, work)


def answer(made: Made, work: Work, share: Share) -> CandidateShard:
    """Return what an engine answers to a share of the images."""
    with settled():
        return candidate_shard(made.engine, seen_of(work), share, work.workspace)


def join(cell: Cell, made: Made, work: Work, *shards: Shard | CandidateShard) -> Found:
    """Return what `validate` says of an engine, of the shares of the reference and of the engine."""
    with settled():
        key, kept = known_check(cell, made, work)
        if kept is not None:
            return kept
        exact = [shard for shard in shards if isinstance(shard, Shard)]
        answers = [shard for shard in shards if isinstance(shard, CandidateShard)]
        found = join_validate(made.engine, seen_of(work), exact, answers, workspace=work.workspace)
        return keep_found("check", key, found.to_json(), work)


def keep_reference(model: Started, work: Work, *shards: Shard) -> int:
    """Keep what the reference of a model answers; return how many answers there are."""
    assert model.path is not None
    with settled():
        keep_shards(shards, open_artifact(model.path), Workspace(work.workspace))
    return sum(len(shard.names) for shard in shards)


def known_check(cell: Cell, made: Made, work: Work) -> tuple[str, Found | None]:
    """Return the key of what `validate` says of an engine, and that if it is kept."""
    engine = open_artifact(made.engine)
    key = check_key(cell, engine, work)
    value = find_part("check", key, Workspace(work.workspace))
    release()
    return key, None if value is None else Found({**value, "artifact": str(made.engine)}, kept=True)


def time(made: Made, checked: Found, work: Work) -> Found:
    """Return what `benchmark` says of an engine; nothing of one that is simulated."""
    assert checked.result is not None
    if checked.result["simulated"]:
        return Found(None, kept=checked.kept)
    with settled():
        key = time_key(open_artifact(made.engine), work)
        value = find_part("time", key, Workspace(work.workspace))
        release()
        if value is not None:
            return Found({**value, "artifact": str(made.engine)}, kept=True)
        timed = benchmark(made.engine, threads=work.threads, runs=work.runs, workspace=work.workspace)
        return keep_found("time", key, timed.to_json(), work)


def keep_found(kind: Kind, key: str, result: dict[str, Any], work: Work) -> Found:
    """Keep what a command found."""
    keep_part(kind, key, result, Workspace(work.workspace))
    return Found(result, kept=False)


def is_checked(cell: Cell, work: Work) -> bool:
    """Return whether an engine is made and validated, without doing anything."""
    assert cell.model.path is not None
    with settled():
        made = find_made(
            "make", make_key(cell, open_artifact(cell.model.path), work), Workspace(work.workspace)
        )
        return made is not None and known_check(cell, Made(made.path, kept=True), work)[1] is not None


def done_on(work: Work, cpus: Iterable[str]) -> Work:
    """Return the work with the names of the CPUs that it is done on, and as many threads as here."""
    return replace(work, cpus=tuple(sorted(set(cpus))), torch_threads=torch.get_num_threads())


@contextmanager
def settled() -> Iterator[None]:
    """Let nobody wait for this process when a step is over: what it read is loaded by then."""
    with reading():
        try:
            yield
        finally:
            release()
