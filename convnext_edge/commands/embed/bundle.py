"""The engine's part of an embedded folder, which is the same for every language."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from string import Template

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import read_rows
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import INTERPOLATIONS, WHOLE
from convnext_edge.progress import note
from convnext_edge.targets.kernels import Kernels
from convnext_edge.tasks import WITH_CLASSES, Task, output_names
from convnext_edge.version import __version__

FORMAT = 1
LATER_FORMAT = 2  # of what a library that knows format 1 would take for a classifier of squares
WAY_FORMAT = 3  # of images that a library of format 2 would prepare in another way
CORNER_FORMAT = 4  # of images in a corner of the input, which a library of format 3 does not know
MANIFEST = "convnext_edge.txt"
LABELS = "labels.txt"
UPRIGHT = "Photographs are turned upright, as their EXIF orientation says."
AS_STORED = "The EXIF orientation is not applied."
# Languages whose libraries know what a task answers, and what that is; of other tasks, all do
KNOWN_BY: dict[Task, tuple[str, ...]] = {
    "segment": ("cpp", "web", "android", "ios"),
    "detect": ("cpp", "web", "android", "ios"),
}
IN_WORDS: dict[Task, str] = {
    "classify": "{} classes",
    "multilabel": "{} labels",
    "regress": "{} values",
    "segment": "{} classes of pixels",
    "detect": "objects of {} classes",
}
FILTERS_OF_FORMAT_2 = ("bicubic", "bilinear", "box", "hamming", "lanczos")


def write_bundle(engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels) -> None:
    """Copy the engine with its other files and its sidecar, and write labels and manifest.

    kernels: of the machine that the folder is for.
    Raises UsageError for a wrong number of labels.
    """
    folder.mkdir()
    names = [*engine.files, sidecar_path(engine.path).name]
    for name in names:
        shutil.copyfile(engine.path.parent / name, folder / name)
    lines = read_labels(engine, labels)
    (folder / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    digests = {name: sha256(folder / name) for name in [*names, LABELS]}
    manifest = manifest_lines(engine, digests, kernels)
    (folder / MANIFEST).write_text("".join(f"{line}\n" for line in manifest), encoding="utf-8", newline="\n")


def check_images(engine: Artifact, lang: str = "cpp") -> None:
    """Raise UsageError for a model of images, or of answers, that the library of a language does not know."""
    prepared, task = engine.description.preprocessing, engine.description.task
    channels = len(prepared.mean)
    own = "Run the engine with its own runtime"
    again = f"Export again with one of: {', '.join(INTERPOLATIONS)}"
    for wrong, why, hint in (
        (channels != 3, f"give RGB, and its images have {channels} channel{'s' * (channels > 1)}", own),
        (
            lang not in KNOWN_BY.get(task, (lang,)),
            f"for {lang} answer with classes of images, numbers and maps, not yet with those of task {task}",
            f"Take --lang {' or '.join(KNOWN_BY.get(task, ()))}, or show it to `convnext-edge predict`",
        ),
        (
            engine.description.dynamic_size,
            "prepare images of one size, and it takes any",
            f"{own}, or export without --dynamic-size",
        ),
        (
            prepared.interpolation not in INTERPOLATIONS,
            f"do not have {prepared.interpolation!r}, by which its images are resized",
            again,
        ),
    ):
        if wrong:
            raise UsageError(f"{engine.path} cannot be embedded: the libraries {why}", hint=f"{hint}.")


def labelled(engine: Artifact) -> int:
    """Return how many numbers of an answer, or of a pixel's, have a label: none of an embedding or map."""
    described = engine.description
    return described.architecture.classes if described.task in WITH_CLASSES else 0


def fill_readme(engine: Artifact, folder: Path, kernels: Kernels, **more: str) -> None:
    """Fill the template README.md of a folder with facts about the engine, and with `more`."""
    described = engine.description
    values = {
        "stem": described.stem,
        "engine": engine.path.name,
        "precision": kernels.precision(described.precision).upper(),
        "kernels": kernels_sentence(kernels),
        "task": described.task,
        "answers": answers(engine),
        "size": described.preprocessing.size_text.replace("x", " x "),
        "orientation": UPRIGHT if described.preprocessing.exif else AS_STORED,
        "ours": __version__,
        **more,
    }
    readme = folder / "README.md"
    text = Template(readme.read_text(encoding="utf-8")).substitute(values)
    readme.write_text(text, encoding="utf-8", newline="\n")


def kernels_sentence(kernels: Kernels) -> str:
    """Return what a README says of how INT8 layers are multiplied; empty where there is nothing to say."""
    if kernels.advice:
        return f"**It is no INT8 engine there**: {kernels.advice}."
    return f"Its INT8 layers are multiplied in INT8 on {kernels.machine}." if kernels.int8 else ""


def answers(engine: Artifact) -> str:
    """Return what a model answers, in words."""
    described = engine.description
    match described.task:
        case "embed":
            found = f"an embedding of {described.architecture.outputs} numbers"
            return f"{found} and a map" if described.architecture.maps else found
        case "features":
            return f"{len(described.architecture.maps)} maps"
        case task:
            return IN_WORDS[task].format(labelled(engine) - first_label(engine))


def manifest_lines(engine: Artifact, digests: dict[str, str], kernels: Kernels) -> list[str]:
    """Return the `key value` lines of the manifest, which can be read without a library for JSON.

    digests: SHA-256 of each file of the folder by its name, in hexadecimal.
    """
    described = engine.description
    prepared = described.preprocessing
    recorded = described.engine or {}
    apart = apart_from_format_1(prepared)
    values = {
        "format": format_of(described.task, apart),
        "version": __version__,
        "runtime": runtime_of(described),
        "runtime_version": recorded.get("version", "unknown"),
        "engine": engine.path.name,
        "precision": kernels.precision(described.precision),
        "machine": kernels.machine or "any",
        "task": described.task,
        "outputs": " ".join(output_names(described.task, described.architecture)),
        "input": described.input_type,
        "resolution": prepared.resolution,
        "crop": repr(prepared.crop),
        "interpolation": prepared.interpolation,
        "mean": " ".join(map(repr, prepared.mean)),
        "std": " ".join(map(repr, prepared.std)),
        "classes": labelled(engine),
        **of_detector(engine),
        **apart,
    }
    return [f"{key} {value}" for key, value in values.items()] + [
        f"file {digest} {name}" for name, digest in digests.items()
    ]


def format_of(task: Task, apart: dict[str, str]) -> int:
    """Return the number that older libraries refuse where they would get the images or the answer wrong."""
    if "resize_mode" in apart:
        return CORNER_FORMAT if apart["resize_mode"] == "corner" else WAY_FORMAT
    return LATER_FORMAT if apart or task != "classify" else FORMAT


def of_detector(engine: Artifact) -> dict[str, str]:
    """Return the lines that a detector has more: the first class of objects, and the most that it finds."""
    found = engine.description.architecture.detection
    if engine.description.task != "detect" or found is None:
        return {}
    return {"first_label": str(first_label(engine)), "detections": str(found.detections)}


def first_label(engine: Artifact) -> int:
    """Return the first class that objects of a detector may have: class 0 may be the background."""
    found = engine.description.architecture.detection
    return int(found is not None and found.background_first)


def apart_from_format_1(prepared: Preprocessing) -> dict[str, str]:
    """Return the lines that tell of images what format 1 does not."""
    rows, columns = prepared.size
    early = in_format_2(prepared)
    width = {} if rows == columns else {"width": str(columns)}
    return {**width, **(in_format_3(prepared) if early is None else early)}


def in_format_2(prepared: Preprocessing) -> dict[str, str] | None:
    """Return the lines by which libraries of format 2 squash or crop; None for what those cannot do.

    A library of that time squashes where the crop is 1, unless `squash` says otherwise.
    """
    squashes = prepared.resize_mode == "squash"
    plain = replace(
        prepared, resize_mode="center", channel_order="rgb", crop=1.0 if squashes else prepared.crop
    )
    known = Preprocessing(
        prepared.resolution, plain.crop, prepared.interpolation, prepared.mean, prepared.std, prepared.width
    )
    new_filter = prepared.interpolation not in FILTERS_OF_FORMAT_2
    whole = prepared.resize_mode in WHOLE
    if new_filter or whole or plain != known or (squashes and prepared.crop != 1):
        return None
    return {} if squashes == (prepared.crop == 1) else {"squash": str(squashes).lower()}


def in_format_3(prepared: Preprocessing) -> dict[str, str]:
    """Return the lines that tell how images come to the size of the input, but for `crop`."""
    return {
        "resize_mode": prepared.resize_mode,
        **({} if prepared.resize is None else {"resize": str(prepared.resize)}),
        "crop_rounding": prepared.crop_rounding,
        "resampler": prepared.resampler,
        "pad_color": " ".join(map(str, prepared.padding)),
        "exif": str(prepared.exif).lower(),
    }


def runtime_of(described: Description) -> str:
    """Return the library that runs an engine.

    It need not have the name of the target: of `ort-mobile` it is `onnxruntime` as well.
    """
    return str((described.engine or {}).get("runtime", described.target))


def read_labels(engine: Artifact, path: Path | None) -> list[str]:
    """Return a label for each class, or for each value of a regression.

    They are the names in `path`; without a path the model's own, or else the numbers of the classes.
    Raises UsageError where `path` cannot be read, or has more or fewer labels than the model has classes.
    """
    classes = labelled(engine)
    if path and not classes:
        raise UsageError(
            f"--labels: the task of {engine.path} is {engine.description.task}, which has none",
            hint="Leave it out.",
        )
    if path is None:
        names = list(engine.description.classes) if classes else []
        if classes and not names:
            note(f"{LABELS} gets numbers, as nothing names the classes of this model: --labels FILE does")
        names = names or [str(number) for number in range(classes)]
    else:
        names = [row[0] for row in read_rows(path, "--labels")]
    if len(names) != classes:
        raise UsageError(
            f"{path} has {len(names)} labels, the model has {classes} classes",
            hint="Give one label on each line, in the order of the classes.",
        )
    return [" ".join(name.split()) for name in names]
