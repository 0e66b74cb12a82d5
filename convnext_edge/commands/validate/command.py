"""The function of `validate`, and its options."""

from __future__ import annotations

from typing import Annotated

from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Option, command
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
    SlidingWindow,
    WorkspaceFolder,
)
from convnext_edge.commands.validate.result import Validate
from convnext_edge.commands.validate.run import (
    check_asked,
    compare_models,
    image_fields,
    model_fields,
    on_corrupted,
    open_candidate,
    session_fields,
)
from convnext_edge.devices.address import Where
from convnext_edge.progress import phase
from convnext_edge.quiet import importing


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
    sliding_window: SlidingWindow = False,
    corruptions: Annotated[
        bool, Option("Tell top-1 of both on bad pictures, too: 15 corruptions at 5 severities.")
    ] = False,
    data_root: DataRoot = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Validate:
    """Compare MODEL (default: the newest) with FP32 PyTorch, image by image.

    model: an ONNX file or engine of ours; an engine for `on`, where only the engine runs: images are decoded
    here. target: by default the one that the model was made for. max_drop
    and the options that begin with min are gates, see `passed`; each task has its own. corruptions: takes 76
    times as long. The result is kept in the workspace for `report`.
    Raises ArtifactError, DeviceError, ImageSetError, TargetError, UsageError.
    """
    space, where = Workspace.at(workspace), Where.parse(on, runner)
    artifact = find_candidate(model, target, space, engine=where is not None)
    check_images(data, data_root=data_root)
    with importing():
        from convnext_edge.checkpoints.kept_weights import open_source
        from convnext_edge.commands.validate.shards import Seen
        from convnext_edge.evaluation.candidates import reference_threads, target_of
        from convnext_edge.evaluation.comparison import Inputs, batch_for
        from convnext_edge.evaluation.gates import Gates
        from convnext_edge.evaluation.kept_answers import kept_answers
        from convnext_edge.evaluation.promises import promised
        from convnext_edge.evaluation.records import keep
        from convnext_edge.evaluation.sliding import answers_over
        from convnext_edge.targets.torch import TorchSession

    gates = Gates(max_drop, min_agreement, min_sqnr, min_r2, min_cosine)
    chosen = target_of(artifact, target)
    described = artifact.description
    images = Seen(data, limit, class_order, classes, data_root, seed).open(described)
    check_asked(images, artifact, gates, corruptions=corruptions, sliding_window=sliding_window)
    opened = open_candidate(artifact, chosen, where, space)
    with phase(f"validating {artifact.path.name} on {chosen}"), opened as session:
        source = open_source(artifact, space)
        release()
        inputs = Inputs(images, source.preprocessing, described.input_type == "uint8", batch_for(described))
        reference = TorchSession(source.reference, reference_threads(source)).run_all
        with kept_answers(reference, artifact, space) as known:
            candidate = promised(session.run_all, described)
            answers = answers_over(known, candidate, inputs, sliding_window=sliding_window)
            compared = compare_models(answers, images, source, gates, described.classes)
        result = Validate(
            **compared,
            **on_corrupted(reference, session.run_all, inputs, seed if corruptions else None),
            **session_fields(session),
            **image_fields(images, artifact, sliding_window=sliding_window),
            **model_fields(artifact, chosen),
            reference_known=known.known,
        )
    keep("validate", result.to_json(), artifact, space)
    return result
