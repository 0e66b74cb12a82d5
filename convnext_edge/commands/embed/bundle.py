"""The engine's part of an embedded folder, which is the same for every language."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import read_rows
from convnext_edge.version import __version__

FORMAT = 1
MANIFEST = "convnext_edge.txt"
LABELS = "labels.txt"
ANTIALIASED = ("bicubic", "bilinear", "box", "hamming", "lanczos")


def write_bundle(engine: Artifact, labels: Path | None, folder: Path) -> None:
    """Copy the engine with its other files and its sidecar, and write labels and manifest.

    Raises UsageError for an interpolation that the libraries do not have, or a wrong number of labels.
    """
    check_interpolation(engine)
    check_task(engine)
    folder.mkdir()
    names = [*engine.files, sidecar_path(engine.path).name]
    for name in names:
        shutil.copyfile(engine.path.parent / name, folder / name)
    lines = read_labels(engine, labels)
    (folder / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    manifest = manifest_lines(engine, {name: sha256(folder / name) for name in [*names, LABELS]})
    (folder / MANIFEST).write_text("".join(f"{line}\n" for line in manifest), encoding="utf-8", newline="\n")


def check_task(engine: Artifact) -> None:
    """Raise UsageError for a model that the libraries cannot show a picture to, or tell the answer of."""
    described = engine.description
    channels, height, width = described.preprocessing.shape
    for wrong, what in (
        (described.task != "classify", f"its task is {described.task}, and the libraries classify"),
        (channels != 3, f"it takes {channels} channels, and the libraries give RGB"),
        (
            described.preprocessing.crop == 1.0 and not described.preprocessing.squashes,
            "its images are cropped, not squashed, at crop 1",
        ),
        (height != width, f"it takes {height}x{width} pixels, and the libraries cut squares"),
    ):
        if wrong:
            raise UsageError(
                f"{engine.path} cannot be embedded: {what}", hint="Run the engine with its own runtime."
            )


def fill_readme(engine: Artifact, folder: Path, **more: str) -> None:
    """Fill the template README.md of a folder with facts about the engine, and with `more`."""
    described = engine.description
    values = {
        "stem": described.stem,
        "engine": engine.path.name,
        "precision": described.precision.upper(),
        "classes": described.architecture.classes,
        "resolution": described.preprocessing.resolution,
        "ours": __version__,
        **more,
    }
    readme = folder / "README.md"
    text = Template(readme.read_text(encoding="utf-8")).substitute(values)
    readme.write_text(text, encoding="utf-8", newline="\n")


def manifest_lines(engine: Artifact, digests: dict[str, str]) -> list[str]:
    """Return the `key value` lines of the manifest, which can be read without a library for JSON.

    digests: SHA-256 of each file of the folder by its name, in hexadecimal.
    """
    described = engine.description
    prepared = described.preprocessing
    recorded = described.engine or {}
    values = {
        "format": FORMAT,
        "version": __version__,
        "runtime": runtime_of(engine),
        "runtime_version": recorded.get("version", "unknown"),
        "engine": engine.path.name,
        "input": described.input_type,
        "resolution": prepared.resolution,
        "crop": repr(prepared.crop),
        "interpolation": prepared.interpolation,
        "mean": " ".join(map(repr, prepared.mean)),
        "std": " ".join(map(repr, prepared.std)),
        "classes": described.architecture.classes,
    }
    return [f"{key} {value}" for key, value in values.items()] + [
        f"file {digest} {name}" for name, digest in digests.items()
    ]


def runtime_of(engine: Artifact) -> str:
    """Return the library that runs an engine.

    It need not have the name of the target: of `ort-mobile` it is `onnxruntime` as well.
    """
    described = engine.description
    return str((described.engine or {}).get("runtime", described.target))


def read_labels(engine: Artifact, path: Path | None) -> list[str]:
    """Return a label for each class.

    They are the names in `path`; without a path the model's own, or else the numbers of the classes.
    Raises UsageError where `path` cannot be read, or has more or fewer labels than the model has classes.
    """
    classes = engine.description.architecture.classes
    if path is None:
        names = list(engine.description.classes) or [str(number) for number in range(classes)]
    else:
        names = [row[0] for row in read_rows(path, "--labels")]
    if len(names) != classes:
        raise UsageError(
            f"{path} has {len(names)} labels, the model has {classes} classes",
            hint="Give one label on each line, in the order of the classes.",
        )
    return [" ".join(name.split()) for name in names]


def check_interpolation(engine: Artifact) -> None:
    """Raise UsageError for an interpolation that the embedded libraries do not have."""
    name = engine.description.preprocessing.interpolation
    if name not in ANTIALIASED:
        raise UsageError(
            f"{engine.path} takes images resized by {name!r}, which the embedded library does not have",
            hint=f"Export again with one of: {', '.join(ANTIALIASED)}.",
        )
