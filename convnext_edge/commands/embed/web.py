"""The folder of `--lang web`: a static page around an engine, which onnxruntime-web of npm runs."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import fill_readme, write_bundle
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.errors import UsageError
from convnext_edge.progress import note
from convnext_edge.reading import Line, Shape, Version, read_json
from convnext_edge.targets.kernels import Kernels
from convnext_edge.tasks import Task

SOURCES = Path(__file__).parents[2] / "embed_sources" / "web"
RUNTIME = "onnxruntime"
PACKAGE = "onnxruntime-web"
TESTED = "1.30.0"
SCRIPT = "ort.wasm.min.js"
# Files that the script loads itself; a browser does not allow that for a page opened from disk.
LOADED = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PRINTED = "console.log(probability, label);"
# What a page calls
CALLS: dict[Task, str] = {
    "classify": f"for (const {{ label, probability }} of await model.classify(picture, 5)) {PRINTED}",
    "multilabel": f"for (const {{ label, probability }} of await model.multilabel(picture)) {PRINTED}",
    "regress": "const values = await model.regress(picture);",
    "embed": "const embedding = await model.embed(picture); // convnextEdge.cosine compares two",
    "features": "for (const { name, shape } of await model.features(picture)) console.log(name, shape);",
    "detect": "for (const { label, box } of await model.detect(picture, 0.5)) console.log(label, box);",
    "segment": "const { width, height, classes } = await model.segment(picture); // a class for each pixel",
}
SERVE = "python3 -m http.server"
PART = 3 * 2**20  # bytes, a multiple of 3, so that each part of a file is whole in base64


class PackageShape(Shape):
    """What is read of npm's package.json."""

    name: Line
    version: Version


def write_web(
    engine: Artifact, labels: Path | None, folder: Path, kernels: Kernels, package: Path | None = None
) -> Steps:
    """Fill the empty `folder`, and return its page and a command that serves it: there is nothing to build.

    package: folder of npm's onnxruntime-web, by default that of the nearest node_modules. Raises UsageError
    where there is none, for an engine of another runtime, or for a wrong number of labels.
    """
    if engine.description.target != RUNTIME:
        raise UsageError(
            f"{engine.path} is an engine for {engine.description.target}, which runs in no browser",
            hint=f"Build one for {RUNTIME}: quantize, then build, with --target {RUNTIME}.",
        )
    source = package or find_package(Path.cwd())
    version = read_version(source)
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_bundle(engine, labels, folder / "model", kernels)
    for name in (SCRIPT, *LOADED):
        shutil.copyfile(source / "dist" / name, folder / "runtime" / name)
    write_offline(folder, "model", sorted(path.name for path in (folder / "model").iterdir()))
    write_offline(folder, "runtime", LOADED)
    fill_readme(engine, folder, kernels, runtime=version, call=CALLS[engine.description.task])
    return Steps(SERVE, page="index.html")


def find_package(start: Path) -> Path:
    """Find onnxruntime-web in node_modules of `start` or of a folder above it, as Node would.

    Raises UsageError where it is in none of them.
    """
    possible = [folder / "node_modules" / PACKAGE for folder in (start, *start.parents)]
    found = next((path for path in possible if path.is_dir()), None)
    if found is None:
        raise UsageError(
            f"{PACKAGE} is not in {possible[0].parent}, nor in node_modules of any folder above",
            hint=f"Run `npm install {PACKAGE}@{TESTED}` here, or name the package's folder with --runtime.",
        )
    note(f"taking {found}")
    return found


def read_version(package: Path) -> str:
    """Return the version of onnxruntime-web in a folder.

    Raises UsageError where the folder holds another package, or lacks files.
    """
    hint = f"Name the folder that `npm install {PACKAGE}@{TESTED}` makes: node_modules/{PACKAGE}."
    if not (package / "package.json").is_file():
        raise UsageError(f"{package} is no npm package: it has no package.json", hint=hint)
    described = read_json(package / "package.json", PackageShape, hint=hint, kind=UsageError)
    name, version = str(described["name"]), str(described["version"])
    if name != PACKAGE:
        raise UsageError(f"{package} is the npm package {name}, not {PACKAGE}", hint=hint)
    missing = [file for file in (SCRIPT, *LOADED) if not (package / "dist" / file).is_file()]
    if missing:
        raise UsageError(f"{PACKAGE} {version} in {package} has no dist/{missing[0]}", hint=hint)
    if version != TESTED:
        note(f"{PACKAGE} {version} is untested here; {TESTED} is tested")
    return version


def write_offline(folder: Path, part: str, names: Iterable[str]) -> None:
    """Write the files of a folder as the script offline/PART.js.

    A page that is opened from disk may load scripts, but no other files.
    """
    script = folder / "offline" / f"{part}.js"
    script.parent.mkdir(exist_ok=True)
    with script.open("w", encoding="ascii", newline="\n") as file:
        for name in names:
            packed = gzip.compress((folder / part / name).read_bytes(), mtime=0)
            parts = [packed[start : start + PART] for start in range(0, len(packed), PART)]
            texts = ",\n".join(f'"{base64.b64encode(piece).decode("ascii")}"' for piece in parts)
            file.write(f"convnextEdge.store({json.dumps(f'{part}/{name}')}, [\n{texts}\n]);\n")
