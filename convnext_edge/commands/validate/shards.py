"""A validation by several processes: the steps of `validate`, as functions that any process calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.locks import reading, release
from convnext_edge.artifacts.provenance import called
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.kept_weights import open_source
from convnext_edge.checkpoints.source import Source
from convnext_edge.commands.declaration import COMMANDS
from convnext_edge.commands.validate.result import Validate
from convnext_edge.commands.validate.run import (
    check_asked,
    compare_models,
    image_fields,
    model_fields,
    open_candidate,
    session_fields,
)
from convnext_edge.evaluation.candidates import reference_threads, target_of
from convnext_edge.evaluation.comparison import batch_for
from convnext_edge.evaluation.gates import Gates
from convnext_edge.evaluation.kept_answers import KeptAnswers, answers_path
from convnext_edge.evaluation.promises import promised
from convnext_edge.evaluation.records import keep
from convnext_edge.evaluation.shards import Shard, Share, answer_share, join_answers
from convnext_edge.images.contents import ClassOrder
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.targets.torch import TorchSession


@dataclass(frozen=True)
class Seen:
    """The options of `validate` that say which images both models see."""

    data: AnyPath
    limit: int | None = None
    class_order: ClassOrder | None = None
    classes: AnyPath | None = None
    data_root: AnyPath | None = None
    seed: int = 0

    def open(self, model: Description) -> ImageSet:
        """Return the images, with the labels that their classes have in the model."""
        number = Numbering(self.class_order, as_path(self.classes)).for_model(model)
        images = open_image_set(self.data, data_root=self.data_root, split="evaluation")
        return number(images).subset(self.limit, self.seed)


@dataclass(frozen=True)
class CandidateShard:
    """What a candidate answers to a share of the images, and what ran it."""

    answers: Shard
    session: dict[str, Any]  # fields of the result


def reference_shard(model: Path, seen: Seen, share: Share, workspace: Path) -> Shard:
    """Return what the reference of a model answers to a share of the images."""
    space = Workspace(workspace)
    with reading():
        artifact = open_artifact(model)
        source = open_source(artifact, space)
        release()
    run = TorchSession(source.reference, reference_threads(source)).run_all
    known = KeptAnswers(run, answers_path(artifact, space))
    batch = batch_for(artifact.description)
    part = share.of(seen.open(artifact.description), batch)
    found = answer_share(known, part, source.preprocessing, batch=batch, dtype="float32")
    skipped = (*share.broken, *found.skipped)
    return replace(found, skipped=skipped, pixels=tuple(known.asked), known=known.known)


def candidate_shard(engine: Path, seen: Seen, share: Share, workspace: Path) -> CandidateShard:
    """Return what an engine answers to a share of the images."""
    with reading():
        artifact = open_artifact(engine)
        described = artifact.description
        images = seen.open(described)
        check_asked(images, artifact, Gates(), corruptions=False)
        batch = batch_for(described)
        opened = open_candidate(artifact, target_of(artifact, None), None, Workspace(workspace))
        with opened as session:
            release()
            part, prepared = share.of(images, batch), described.preprocessing
            answer = promised(session.run_all, described)
            answers = answer_share(answer, part, prepared, batch=batch, dtype=described.input_type)
            return CandidateShard(answers, session_fields(session))


def join_validate(
    engine: Path,
    seen: Seen,
    reference: Sequence[Shard],
    candidate: Sequence[CandidateShard],
    workspace: Path,
) -> Validate:
    """Return what `validate` would, of all shares of both models, and keep it for `report`."""
    space = Workspace(workspace)
    with reading(), called(lambda: validate_command(engine, seen, workspace)):
        artifact = open_artifact(engine)
        source = open_source(artifact, space)
        release()
        images = seen.open(artifact.description)
        result = joined(artifact, source, images, reference, candidate)
        keep("validate", result.to_json(), artifact, space)
    return result


def joined(
    artifact: Artifact,
    source: Source,
    images: ImageSet,
    reference: Sequence[Shard],
    candidate: Sequence[CandidateShard],
) -> Validate:
    """Return the result of all shares."""
    described = artifact.description
    shards = [each.answers for each in candidate]
    answers = join_answers(reference, shards, images, batch=batch_for(described))
    return Validate(
        **compare_models(answers, images, source, Gates(), described.classes),
        **candidate[0].session,
        **image_fields(images, artifact),
        **model_fields(artifact, target_of(artifact, None)),
        reference_known=sum(shard.known for shard in reference),
    )


def validate_command(engine: Path, seen: Seen, workspace: Path) -> str:
    """Return the command that does the same."""
    given = {"model": engine, **vars(seen), "workspace": workspace}
    return COMMANDS["validate"].command_line(given)
