"""The model's part of an embedded folder, which is the same for every language."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.errors import UsageError
from convnext_edge.version import __version__

FORMAT = 1
MANIFEST = "convnext_edge.txt"
LABELS = "labels.txt"
ANTIALIASED = ("bicubic", "bilinear", "box", "hamming", "lanczos")


def write_bundle(engine: Artifact, labels: Path | None, folder: Path) -> None:
    """Copy the engine with companions and sidecar, and write labels and manifest. Raises UsageError."""
    check_interpolation(engine)
    folder.mkdir()
    names = [*engine.files, sidecar_path(engine.path).name]
    for name in names:
        shutil.copyfile(engine.path.parent / name, folder / name)
    lines = read_labels(engine, labels)
    (folder / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    manifest = manifest_lines(engine, {name: sha256(folder / name) for name in [*names, LABELS]})
    (folder / MANIFEST).write_text("".join(f"{line}\n" for line in manifest), encoding="utf-8", newline="\n")


def fill_readme(engine: Artifact, folder: Path, **more: str) -> None:
    """Put what is known of the engine, and `more`, into the template README.md of a folder."""
    described = engine.description
    values = {
        "stem": described.stem,
        "engine": engine.path.name,
        "precision": described.precision.upper(),
        "classes": described.architecture["classes"],
        "resolution": described.preprocessing.resolution,
        "ours": __version__,
        **more,
    }
    readme = folder / "README.md"
    text = Template(readme.read_text(encoding="utf-8")).substitute(values)
    readme.write_text(text, encoding="utf-8", newline="\n")


def manifest_lines(engine: Artifact, digests: dict[str, str]) -> list[str]:
    """`key value` lines: no library for JSON is needed to read them."""
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
        "classes": described.architecture["classes"],
    }
    return [f"{key} {value}" for key, value in values.items()] + [
        f"file {digest} {name}" for name, digest in digests.items()
    ]


def runtime_of(engine: Artifact) -> str:
    """The library that runs an engine: of target `ort-mobile`, as of `onnxruntime`, ONNX Runtime."""
    described = engine.description
    return str((described.engine or {}).get("runtime", described.target))


def read_labels(engine: Artifact, path: Path | None) -> list[str]:
    """A label for each class: the lines of `path`, else the model's own names, else the classes' numbers.

    Raises UsageError where there are more or fewer of them than classes.
    """
    classes = int(engine.description.architecture["classes"])
    if path is None:
        names = engine.description.classes or tuple(map(str, range(classes)))
        return [" ".join(name.split()) for name in names]
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="Give a text, one label a line.") from error
    if len(lines) != classes:
        raise UsageError(
            f"{path} has {len(lines)} labels, the model has {classes} classes",
            hint="Give one label a line, in the order of the classes.",
        )
    return lines


def check_interpolation(engine: Artifact) -> None:
    """Raises UsageError for one that the embedded libraries do not have."""
    name = engine.description.preprocessing.interpolation
    if name not in ANTIALIASED:
        raise UsageError(
            f"{engine.path} takes images resized by {name!r}, which the embedded library does not have",
            hint=f"Export again with one of: {', '.join(ANTIALIASED)}.",
        )
