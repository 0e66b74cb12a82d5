"""What folders for Android and iOS have in common: their runtime, and a picture for the sample application.

With the picture comes what Python answers to it, so that a device can compare its own answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import runtime_of
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.decoding import decode
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.transform import normalize, preprocess
from convnext_edge.targets.base import Outputs
from convnext_edge.tasks import Task

RUNTIME = "onnxruntime"
PICTURE = "picture.png"
ANSWER = "picture.txt"


def check_runtime(engine: Artifact, system: str) -> None:
    """Raise UsageError for an engine of another runtime than ONNX Runtime."""
    runtime = runtime_of(engine.description)
    if runtime != RUNTIME:
        raise UsageError(
            f"{engine.path} is an engine for {runtime}, the library for {system} runs those for {RUNTIME}",
            hint=f"Make one: convnext-edge quantize, then build, with --target {RUNTIME}.",
        )


def write_sample(engine: Artifact, folder: Path) -> None:
    """Write the first photograph of the demo as PNG, and what the engine answers, a number on each line.

    They are those of the vector, such as the logits; of a model that has maps alone, those of its last map;
    of a segmenter the class of each pixel, of a detector the boxes in what the model sees.

    Raises TargetError where the engine does not run on this machine.
    """
    images = open_image_set("demo", split="evaluation")
    picture = decode(images.contents.read(images.entries[0].name))
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / PICTURE)
    prepared = engine.description.preprocessing
    square = np.ascontiguousarray(preprocess(picture, prepared).transpose(2, 0, 1)[None])
    with open_session(engine, str(engine.description.target), threads=1) as session:
        takes_bytes = engine.description.input_type == "uint8"
        outputs = session.run_all(square if takes_bytes else normalize(square, prepared))
    numbers = numbers_of(engine.description.task, outputs)
    (folder / ANSWER).write_text("".join(f"{n}\n" for n in numbers), encoding="ascii", newline="\n")


def numbers_of(task: Task, outputs: Outputs) -> list[str]:
    """Return the numbers that a sample compares with its own, as text."""
    if task == "segment":
        return [str(index) for index in outputs[0][0].argmax(0).ravel()]
    answer = outputs[0 if outputs[0].ndim == 2 or task == "detect" else -1].ravel()
    # the shortest decimal number that is read as the same float32
    return [np.format_float_scientific(value, unique=True) for value in answer]
