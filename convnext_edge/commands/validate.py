"""The command `validate`: any artifact on any target against the FP32 PyTorch reference, image by image."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import command
from convnext_edge.commands.early import check_images, find_candidate
from convnext_edge.commands.options import (
    ClassesFile,
    ClassOrderOption,
    Data,
    DataRoot,
    DeviceRunner,
    Limit,
    MaxDrop,
    MinAgreement,
    MinCosine,
    MinR2,
    MinSqnr,
    Model,
    OnDevice,
    RunOn,
    Seed,
    WorkspaceFolder,
)
from convnext_edge.commands.remedies import NOTHING, Remedy, after_validate
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import (
    command_line,
    device_line,
    lines,
    metric_lines,
    ran_by,
    skipped,
    verdict,
    warned,
)
from convnext_edge.devices.address import Where
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.paths import as_path
from convnext_edge.progress import note, phase
from convnext_edge.quiet import importing

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Artifact
    from convnext_edge.checkpoints.source import Source
    from convnext_edge.evaluation.comparison import Answer, Inputs
    from convnext_edge.evaluation.gates import Gates
    from convnext_edge.evaluation.metrics import Comparison
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


@dataclass(frozen=True)
class Validate(Result):
    """How far a candidate is from the FP32 reference on an image set."""

    artifact: Path
    target: str
    data: str  # name of the image set
    images: int
    reference_top1: float | None  # fractions of the images; None where the images have no labels
    candidate_top1: float | None
    reference_top5: float | None
    candidate_top5: float | None
    drop_points: float | None  # percentage points of top-1, positive where the candidate is worse
    drop_ci95_points: tuple[float, float] | None  # paired 95 % interval
    agreement: float | None  # fraction of the images with the same top-1; None for other tasks
    agreement_ci95: tuple[float, float] | None
    sqnr_db: float | None  # of the worst output; None where all are identical
    overlap: int  # images that were in the calibration set too
    skipped_images: tuple[str, ...]
    simulated: bool  # not run by the runtime that the target stands for
    passed: bool
    label: str = ""  # where it was simulated, why
    # What numbered class folders: "natural" or "text" order, or the "names" of the model or of a file.
    class_order: str | None = None
    reference_top1_other_order: float | None = None  # with the other of the two orders, where they differ
    warnings: tuple[str, ...] = ()  # why not to rely on the accuracy, as sentences
    gates: tuple[str, ...] = ()  # what the gates are on that decided `passed`
    task: str = "classify"
    metrics: dict[str, float | None] = field(default_factory=dict)  # of other tasks, by name
    precision: str = "fp32"  # of the candidate, as "int8"
    device: DeviceDescription | None = None  # that the candidate ran on; None: this machine
    reference_known: int = 0  # images whose FP32 answer was kept by an earlier validation, and not computed
    classes: int | None = None  # of a classifier; with 5 or fewer, top-5 tells nothing, and is not shown

    def summary(self) -> str:
        """Return the figures as lines."""
        seen = f", {self.overlap} of them calibrated with" if self.overlap else ""
        known = f", FP32 answers of {self.reference_known} kept before" if self.reference_known else ""
        return lines(
            *ran_by(self.artifact, self.target + (f" ({self.label})" if self.label else "")),
            *device_line(self.device),
            ("images", f"{self.images} of {self.data}" + skipped(self.skipped_images) + seen + known),
            *(self._accuracy() if self.task == "classify" else metric_lines(self.metrics)),
            ("SQNR", "identical outputs" if self.sqnr_db is None else f"{self.sqnr_db:.1f} dB"),
            *warned(self.warnings),
            ("gates", verdict(self.gates, self.passed)),
            *self._remedy.rows,
        )

    def next_command(self) -> str:
        """Return what times what was compared, or else what makes a model that passes."""
        if not self.passed:
            return self._remedy.command
        there = ["--on", self.device.url] if self.device else []
        return "" if self.simulated else command_line("benchmark", self.artifact, *there)

    @property
    def _remedy(self) -> Remedy:
        """What helps where a gate is not met because of INT8; of other reasons, a warning says what to do."""
        of_int8 = not self.passed and not self.warnings and self.precision not in ("fp32", "fp16")
        return after_validate(self.gates, self.target) if of_int8 else NOTHING

    def _accuracy(self) -> list[tuple[str, object]]:
        assert self.agreement_ci95 is not None  # of every classifier
        agreed = "{:.2%} to {:.2%}".format(*self.agreement_ci95)
        agreement = ("agreement", f"{self.agreement:.2%} same top-1 (95 %: {agreed})")
        if self.drop_points is None or self.drop_ci95_points is None:
            return [("top-1", "unknown: the images have no labels"), agreement]
        low, high = self.drop_ci95_points
        top5 = ("top-5", f"{self.candidate_top5:.2%} (reference {self.reference_top5:.2%})")
        return [
            ("top-1", f"{self.candidate_top1:.2%} (reference {self.reference_top1:.2%})"),
            *([] if self.classes and self.classes <= 5 else [top5]),
            ("drop", f"{self.drop_points:+.2f} points (95 %: {low:+.2f} to {high:+.2f})"),
            agreement,
        ]


@command(example="convnext-edge validate --data imagenet_val --max-drop 0.5")
def validate(
    model: Model = None,
    *,
    data: Data,
    limit: Limit = None,
    target: RunOn = None,
    on: OnDevice = None,
    runner: DeviceRunner = None,
    max_drop: MaxDrop = None,
    min_agreement: MinAgreement = None,
    min_sqnr: MinSqnr = None,
    min_r2: MinR2 = None,
    min_cosine: MinCosine = None,
    class_order: ClassOrderOption = None,
    classes: ClassesFile = None,
    data_root: DataRoot = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Validate:
    """Compare MODEL (default: the newest) with FP32 PyTorch, image by image.

    model: an ONNX file or engine of ours; an engine for `on`, where only the engine runs: images are decoded
    here. target: by default the one that the model was made for. max_drop
    and the options that begin with min are gates, see `passed`; each task has its own. The result is kept in
    the workspace for `report`.
    Raises ArtifactError, DeviceError, ImageSetError, TargetError, UsageError.
    """
    space, where = Workspace.at(workspace), Where.parse(on, runner)
    artifact = find_candidate(model, target, space, engine=where is not None)
    check_images(data, data_root=data_root)
    with importing():
        from convnext_edge.checkpoints.class_order import Numbering
        from convnext_edge.checkpoints.kept_weights import open_source
        from convnext_edge.evaluation.candidates import reference_threads, target_of
        from convnext_edge.evaluation.comparison import Inputs, batch_for
        from convnext_edge.evaluation.gates import Gates
        from convnext_edge.evaluation.kept_answers import kept_answers
        from convnext_edge.evaluation.records import keep
        from convnext_edge.evaluation.trust import check_classes
        from convnext_edge.images.opening import open_image_set
        from convnext_edge.targets.torch import TorchSession

    gates = Gates(max_drop, min_agreement, min_sqnr, min_r2, min_cosine)
    chosen = target_of(artifact, target)
    number = Numbering(class_order, as_path(classes)).for_model(artifact.description)
    images = number(open_image_set(data, data_root=data_root, split="evaluation")).subset(limit, seed)
    described = artifact.description
    check_classes(images, artifact)
    gates.check(described.task, described.architecture, labelled=images.labelled, images=images.name)
    opened = open_candidate(artifact, chosen, where, space)
    with phase(f"validating {artifact.path.name} on {chosen}"), opened as session:
        source = open_source(artifact, space)
        release()
        inputs = Inputs(images, source.preprocessing, described.input_type == "uint8", batch_for(described))
        run = TorchSession(source.reference, reference_threads(source)).run_all
        with kept_answers(run, artifact, space) as reference:
            compared = compare_models((reference, session.run_all), inputs, source, gates)
        result = Validate(
            **compared,
            artifact=artifact.path,
            target=chosen,
            data=images.name,
            overlap=count_seen(images, artifact),
            skipped_images=tuple(image.name for image in images.skipped),
            **session_fields(session),
            class_order=images.numbered_by,
            precision=described.precision,
            reference_known=reference.known,
        )
    keep("validate", result.to_json(), artifact, space)
    return result


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


def compare_models(
    answers: tuple[Answer, Answer], inputs: Inputs, source: Source, gates: Gates
) -> dict[str, Any]:
    """Run reference and candidate over the images; return the fields of the result that follow."""
    from convnext_edge.evaluation.comparison import compare_answers
    from convnext_edge.evaluation.gates import judge
    from convnext_edge.evaluation.measures import new_measure
    from convnext_edge.evaluation.metrics import Comparison

    measure = new_measure(source.task, source.outputs, inputs.images.other_labels)
    found = compare_answers(*answers, inputs, measure, purpose="validating")
    judged = judge(found, gates, source.task, source.reference.architecture.classes).fields()
    if isinstance(found, Comparison):
        return {"classes": source.reference.architecture.classes, **accuracy(found), **judged}
    return {
        **dict.fromkeys(OF_CLASSES),
        "images": found.images,
        "sqnr_db": found.worst_sqnr_db,
        "task": source.task,
        "metrics": found.figures(),
        **judged,
    }


def count_seen(images: ImageSet, artifact: Artifact) -> int:
    """Count the images that the artifact was calibrated with; a note says it where there are any."""
    calibrated = set(artifact.description.calibration_hashes)
    if not calibrated:
        return 0
    length = len(next(iter(calibrated)))
    if seen := sum(digest[:length] in calibrated for digest in images.hashes):
        note(f"{seen} of the {len(images)} images were calibrated with")
    return seen


def accuracy(found: Comparison) -> dict[str, Any]:
    """Return the fields of the result that follow from the comparison."""
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
        "reference_top1_other_order": found.other_top1 / labelled if found.other_labels else None,
    }
