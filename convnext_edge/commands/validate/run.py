"""Both models over the images, and the fields of the result of `validate` that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.devices.address import Where
from convnext_edge.errors import UsageError
from convnext_edge.progress import note

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Artifact
    from convnext_edge.checkpoints.source import Source
    from convnext_edge.evaluation.comparison import Answer, Answered, Inputs
    from convnext_edge.evaluation.gates import Gates
    from convnext_edge.images.image_set import ImageSet
    from convnext_edge.targets.base import Session

OF_CLASSES = (  # fields that have a value for a classifier alone
    "reference_top1",
    "candidate_top1",
    "reference_top5",
    "candidate_top5",
    "drop_points",
    "drop_ci95_points",
    "agreement",
    "agreement_ci95",
)


def open_candidate(
    artifact: Artifact, target: str, where: Where | None, workspace: Workspace
) -> AbstractContextManager[Session]:
    """Make the candidate ready to run, here or on a device."""
    from convnext_edge.commands.on_device import open_there
    from convnext_edge.evaluation.candidates import open_beside

    return open_beside(artifact, target) if where is None else open_there(artifact, where, workspace)


def session_fields(session: Session) -> dict[str, Any]:
    """Return the fields of the result that tell what ran the candidate."""
    from convnext_edge.commands.on_device import device_of

    return {"simulated": session.simulated, "label": session.label, "device": device_of(session)}


def model_fields(artifact: Artifact, target: str) -> dict[str, Any]:
    """Return the fields of the result that tell which candidate it was."""
    return {"artifact": artifact.path, "target": target, "precision": artifact.description.precision}


def compare_models(
    answers: Iterable[Answered],
    images: ImageSet,
    source: Source,
    gates: Gates,
    class_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the fields of the result that follow from what reference and candidate answer to the images.

    class_names: of the candidate, where they are known; else those of the reference, or numbers, are told.
    """
    from convnext_edge.evaluation.answers import AnswerLog
    from convnext_edge.evaluation.comparison import sum_up
    from convnext_edge.evaluation.gates import judge
    from convnext_edge.evaluation.measures import new_measure
    from convnext_edge.evaluation.metrics import Comparison

    measure = new_measure(source, images.other_labels)
    log = AnswerLog() if source.task == "classify" and source.reference.architecture.classes > 1 else None
    found = sum_up(answers, measure, log)
    judged = judge(found, gates, source.task, source.reference.architecture.classes).fields()
    if isinstance(found, Comparison):
        classes = source.reference.architecture.classes
        beyond = log.summed_up(class_names or source.classes) if log and found.images else None
        return {"classes": classes, **found.accuracy(), "beyond_top1": beyond, **judged}
    return {
        **dict.fromkeys(OF_CLASSES),
        "images": found.images,
        "sqnr_db": found.worst_sqnr_db,
        "task": source.task,
        "metrics": found.figures(),
        **judged,
    }


def on_corrupted(reference: Answer, candidate: Answer, inputs: Inputs, seed: int | None) -> dict[str, Any]:
    """Run both models over the images made bad in all ways; return the field of the result that follows.

    seed: None for no such run.
    """
    from convnext_edge.evaluation.corrupted import measure_corruptions

    if seed is None:
        return {}
    return {"corruptions": measure_corruptions(reference, candidate, inputs, seed)}


def image_fields(images: ImageSet, artifact: Artifact, *, sliding_window: bool = False) -> dict[str, Any]:
    """Return the fields of the result that tell which images were seen.

    Those by sliding windows have a name of their own, so that `report` shows them beside the others.
    """
    return {
        "data": f"{images.name} by sliding windows" if sliding_window else images.name,
        "sliding_window": sliding_window,
        "overlap": count_seen(images, artifact),
        "skipped_images": tuple(image.name for image in images.skipped),
        "class_order": images.numbered_by,
        "data_path": images.place,
    }


def check_asked(
    images: ImageSet, artifact: Artifact, gates: Gates, *, corruptions: bool, sliding_window: bool = False
) -> None:
    """Raise ImageSetError or UsageError where these images cannot tell what is asked of the model."""
    from convnext_edge.evaluation.coco_ap import check_package
    from convnext_edge.evaluation.sliding import check_sliding
    from convnext_edge.evaluation.trust import check_classes

    if images.boxed and gates.max_drop is not None:
        check_package()
    described = artifact.description
    check_classes(images, artifact)
    if sliding_window:
        check_sliding(described.task)
    if corruptions:
        check_corruptions(images, artifact)
    gates.check(described.task, described.architecture, labelled=images.labelled, images=images.name)


def check_corruptions(images: ImageSet, artifact: Artifact) -> None:
    """Raise UsageError where top-1 on corrupted images cannot be told."""
    from convnext_edge.images.corruptions.corrupting import check_corruptible

    described = artifact.description
    if described.task != "classify":
        raise UsageError(
            f"--corruptions tells top-1, and the task of {artifact.path.name} is {described.task}",
            hint="Leave it out.",
        )
    if not images.labelled:
        raise UsageError(
            f"--corruptions needs labels, and {images.name} has none", hint="Give images in class folders."
        )
    check_corruptible(len(described.preprocessing.mean), described.preprocessing.size)


def count_seen(images: ImageSet, artifact: Artifact) -> int:
    """Count the images that the artifact was calibrated with; a note says it where there are any."""
    calibrated = set(artifact.description.calibration_hashes)
    if not calibrated:
        return 0
    length = len(next(iter(calibrated)))
    if seen := sum(digest[:length] in calibrated for digest in images.hashes):
        note(f"{seen} of the {len(images)} images were calibrated with")
    return seen
