"""The command `predict`: what any artifact answers to pictures."""

from __future__ import annotations

from typing import Annotated

from convnext_edge.artifacts.failed import failings
from convnext_edge.artifacts.files import write_whole
from convnext_edge.artifacts.locks import release
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Argument, Option, command
from convnext_edge.commands.options import RunOn, SlidingWindow, WorkspaceFolder
from convnext_edge.commands.predict.given import Pictures
from convnext_edge.commands.predict.result import Predict
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing


@command(example="convnext-edge predict convnext-edge-out/tiny.onnx photo.jpg")
def predict(
    engine: Annotated[AnyPath | None, Argument()] = None,
    pictures: Annotated[Pictures, Argument("PICTURE")] = (),
    *,
    top: Annotated[
        int | None,
        Option("Number of classes to show for a picture.  [default: 5; of multilabel, all]", at_least=1),
    ] = None,
    threshold: Annotated[
        float | None,
        Option("Tasks multilabel and detect: probability to exceed.  [default: 0.5]", at_least=0, at_most=1),
    ] = None,
    classes: Annotated[
        AnyPath | None, Option("Names of the classes, a name a line or JSON.  [default: the model's]")
    ] = None,
    maps: Annotated[
        AnyPath | None,
        Option("Tasks segment and detect: folder for label maps and overlays of the pictures, as PNG."),
    ] = None,
    save: Annotated[AnyPath | None, Option("Write the model's outputs as .npy or .safetensors.")] = None,
    sliding_window: SlidingWindow = False,
    target: RunOn = None,
    workspace: WorkspaceFolder = None,
) -> Predict:
    """Tell what ENGINE (default: newest) sees in pictures, folders and archives.

    engine: any artifact, or None. pictures: files, folders, archives (.zip, .tar, .parquet), names of image
    sets, or - for one on standard input; from Python, also images of Pillow and arrays (H, W, channels) of
    type uint8, in RGB; one of these, or a list. They are prepared as the model was trained. What cannot be
    read is in `failed`, and the exit code is 1. What the model answers is in `outputs` of the result, as
    arrays.
    Raises ArtifactError, TargetError, UsageError; ImageSetError where no picture can be read.
    """
    with importing():
        from convnext_edge.commands.predict.answers import make_reader
        from convnext_edge.commands.predict.arguments import find_model, part
        from convnext_edge.commands.predict.objects import writer_of
        from convnext_edge.commands.predict.outputs import Kept, Saver
        from convnext_edge.commands.predict.run import Run
        from convnext_edge.commands.predict.sliding import SlidingRun, check_files
        from convnext_edge.evaluation.candidates import open_session
        from convnext_edge.images.pictures import find_pictures

    named, given = part(engine, pictures)
    artifact, chosen = find_model(named, target, Workspace.at(workspace))
    described, place = artifact.description, as_path(save)
    folder = as_path(maps)
    reader = make_reader(described, top, threshold, as_path(classes), folder)
    check_files(described, place, reader.outputs, sliding_window=sliding_window)
    asked = find_pictures(given)
    kept = Kept(reader.outputs, len(asked))
    with open_session(artifact, chosen) as session:
        release()
        drawn = None if folder is None else writer_of(described, folder)
        run = (SlidingRun if sliding_window else Run)(session, described, reader, kept, drawn)
        if place is None:
            found = run.over(asked)
        else:
            told = {"model": artifact.path.name, "sha256": artifact.sha256, "task": described.task}
            found = write_whole(place, lambda file: run.over(asked, Saver(file, reader.outputs, told)))
        return Predict(
            artifact=artifact.path,
            target=chosen,
            task=described.task,
            pictures=len(asked),
            threshold=reader.threshold if described.task in ("multilabel", "detect") else None,
            saved=place,
            sliding_window=sliding_window,
            simulated=session.simulated,
            label=session.label,
            kept=kept,
            **{**found, "warnings": (*failings(artifact), *found["warnings"])},
        )
