"""validate: any artifact on any target against the FP32 PyTorch reference, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import Source, open_source
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.evaluation.candidates import find_candidate, open_session, target_of
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.records import keep
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note, track
from convnext_edge.results import Validate
from convnext_edge.targets.base import Session
from convnext_edge.targets.torch import TorchSession

BATCH = 8


def validate(
    model: AnyPath | None = None,
    *,
    data: AnyPath,
    limit: int | None = None,
    target: str | None = None,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    data_root: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Validate:
    """Compare top-1, top-5 and logits over an image set.

    model: an ONNX file or engine of ours, by default the newest. data: image set by name or path;
    limit: a seeded subset of that many. target: by default the one the model was made for.
    max_drop: points of top-1; min_agreement: fraction; both are gates, see `passed`. The result is kept in
    the workspace for `report`.
    Raises ArtifactError, ImageSetError, TargetError, UsageError.
    """
    model, data_root = as_path(model), as_path(data_root)
    place = Workspace.at(workspace)
    gates = Gates(max_drop, min_agreement)
    artifact = find_candidate(model, target, place)
    chosen = target_of(artifact, target)
    images = open_image_set(data, data_root=data_root, split="evaluation").subset(limit, seed)
    check_classes(images, artifact)
    gates.check(images)
    seen = count_seen(images, artifact)
    if seen:
        note(f"{seen} of the {len(images)} images were calibrated with")
    with open_session(artifact, chosen) as session:
        found = compare(open_source(artifact, place), session, images, artifact)
        result = Validate(
            artifact=artifact.path,
            target=chosen,
            data=images.name,
            **accuracy(found),
            overlap=seen,
            skipped_images=tuple(image.name for image in images.skipped),
            simulated=session.simulated,
            label=session.label,
            passed=gates.passed(found),
        )
    keep(result, artifact, place)
    return result


@dataclass(frozen=True)
class Gates:
    """What a candidate must hold: max_drop in points of top-1, min_agreement as a fraction."""

    max_drop: float | None
    min_agreement: float | None

    def check(self, images: ImageSet) -> None:
        """Raises UsageError for a gate that these images cannot decide."""
        if self.max_drop is not None and not images.labelled:
            raise UsageError(
                f"--max-drop needs labels, and {images.name} has none",
                hint="Use --min-agreement, or a set with labels.",
            )

    def passed(self, found: Comparison) -> bool:
        drop_held = self.max_drop is None or found.drop_points <= self.max_drop
        return drop_held and (self.min_agreement is None or found.agreement >= self.min_agreement)


def check_classes(images: ImageSet, artifact: Artifact) -> None:
    """Raises ImageSetError where the labels cannot be those of the model."""
    classes = int(artifact.description.architecture["classes"])
    found = len(images.classes) or 1 + max((entry.label for entry in images.entries), default=-1)
    if images.labelled and (found > classes or (images.classes and found != classes)):
        raise ImageSetError(
            f"{images.name} has {found} classes, {artifact.path.name} tells {classes} apart",
            hint="Give images of the model's own classes, or a folder without labels.",
        )


def count_seen(images: ImageSet, artifact: Artifact) -> int:
    """Images that the artifact was calibrated with."""
    calibrated = set(artifact.description.calibration_hashes)
    if not calibrated:
        return 0
    length = len(next(iter(calibrated)))
    return sum(digest[:length] in calibrated for digest in images.hashes)


def compare(source: Source, session: Session, images: ImageSet, artifact: Artifact) -> Comparison:
    """Both models over all images, each image decoded once."""
    reference = TorchSession(source.reference)
    found = Comparison()
    batches = images.batches(source.preprocessing, batch=BATCH, dtype="uint8")
    for batch in track(batches, "validating", total=len(images), step=BATCH):
        normalized = as_reference_takes(batch.images, source.preprocessing)
        raw = artifact.description.input_type == "uint8"
        candidate = session.run(batch.images if raw else normalized)
        found.add(reference.run(normalized), candidate, batch.labels)
    return found


def accuracy(found: Comparison) -> dict[str, Any]:
    """The fields of the result that follow from the comparison."""
    labelled = found.labelled
    return {
        "images": found.images,
        "reference_top1": found.top1[0] / labelled if labelled else None,
        "candidate_top1": found.top1[1] / labelled if labelled else None,
        "reference_top5": found.top5[0] / labelled if labelled else None,
        "candidate_top5": found.top5[1] / labelled if labelled else None,
        "drop_points": found.drop_points if labelled else None,
        "drop_ci95_points": found.drop_ci95_points if labelled else None,
        "agreement": found.agreement,
        "agreement_ci95": found.agreement_ci95,
        "sqnr_db": found.sqnr_db,
    }
