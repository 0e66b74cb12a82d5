"""Every reader of the package: how its input is damaged, and what is called on it.

A reader is right where it returns, or raises an error of `convnext_edge.errors`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.fuzzing import beside, checkpoints, engines, graphs, labels, sets
from benchmarks.fuzzing.edits import damaged, tables, texts
from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Link
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.checkpoints.kept_weights import open_source
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.commands.embed.bundle import manifest_lines, read_labels
from convnext_edge.commands.embed.web import LOADED, SCRIPT, read_version
from convnext_edge.commands.finetune import snapshots
from convnext_edge.commands.predict.outputs import is_ours
from convnext_edge.commands.report.command import report
from convnext_edge.commands.validate import Validate
from convnext_edge.cpu import read_cpu
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.evaluation.records import model_columns
from convnext_edge.images.decoding import decode
from convnext_edge.images.definitions import read_definition
from convnext_edge.images.noise import noise
from convnext_edge.images.opening import open_path
from convnext_edge.images.pictures import Loader, find_pictures
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess
from convnext_edge.quantization.recipe import Recipe, read_recipe
from convnext_edge.targets.kernels import Kernels
from convnext_edge.targets.registry import find_target

Files = dict[str, bytes]
PREPROCESSING = Preprocessing(resolution=graphs.RESOLUTION)
DIGEST = "0" * 64


@dataclass(frozen=True)
class Reader:
    """One kind of input, and what reads it."""

    inputs: st.SearchStrategy[Files]  # content of each file by its name in an empty folder
    read: Callable[[Path], object]  # is given that folder
    slow: bool = False  # where one input takes more than some milliseconds


def one(name: str, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    """Return the strategy of a single file."""
    return contents.map(lambda content: {name: content})


def each(*attempts: Callable[[], object]) -> None:
    """Call all, even where an earlier one is refused."""
    for attempt in attempts:
        with suppress(ConvNeXtEdgeError):
            attempt()


# --- what is called --------------------------------------------------------------------------------


def read_weights(path: Path) -> None:
    """Load a checkpoint as `export` does, up to its answer."""
    load_source(None, path)


def read_set(path: Path) -> None:
    """Open a set of images, and read all of it."""
    images = open_path(path, name="set")
    for _ in images.batches(PREPROCESSING, batch=2, dtype="float32", workers=1):
        pass
    assert len(images.digest) == len(DIGEST)


def read_picture(path: Path) -> None:
    """Decode an image to what a model takes, also as `predict` does, which reads its EXIF too."""
    for picture in find_pictures([path]):
        Loader(PREPROCESSING).load(picture)
    preprocess(decode(path.read_bytes()), PREPROCESSING)


def description(kind: Any = "onnx") -> Description:
    """Return what a sidecar says of the small model."""
    return Description(
        kind=kind,
        stem="small",
        variant=None,
        architecture=replace(checkpoints.SMALL, classes=graphs.CLASSES),
        preprocessing=PREPROCESSING,
        precision="int8",
        target="openvino",
        method="ptq",
        recipe=Recipe().to_json(),
        calibration=Calibration("set", 3, DIGEST),
        calibration_hashes=(DIGEST[:16],),
        quantized_layers=("stem",),
        float_layers=("head",),
        classes=("cat", "dog", "cow"),
        engine={"runtime": "openvino", "version": "1"},
        weights=Link("small.safetensors", DIGEST),
        parent=Link("small.onnx", DIGEST),
    )


def sidecar() -> Any:
    """Return the JSON of a sidecar of the file `model.onnx`, which holds nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_artifact(path, description(), lambda file: file.write_bytes(b"") and None)
        return json.loads(path.with_name("model.onnx.json").read_text(encoding="utf-8"))


def use_artifact(artifact: Artifact, workspace: Workspace) -> None:
    """Do with a description what commands do."""
    each(
        lambda: file_name(artifact.description, ".onnx"),
        lambda: model_columns(artifact),
        lambda: manifest_lines(artifact, {}, Kernels(None, None)),
        lambda: read_labels(artifact, None),
        lambda: open_source(artifact, workspace),
    )


def read_sidecars(folder: Path) -> None:
    """Find the artifact of a workspace, and use what its sidecar says."""
    workspace = Workspace(folder)
    artifact = open_artifact(folder / "model.onnx")
    use_artifact(artifact, workspace)
    workspace.choose(None, lambda found: found.kind == "onnx", what="model", command="export")


def record() -> Any:
    """Return the JSON of a kept result of `validate`."""
    checked = Validate(
        artifact=Path("small.onnx"), target="openvino", data="set", images=3, reference_top1=0.5,
        candidate_top1=0.5, reference_top5=1.0, candidate_top5=1.0, drop_points=0.1,
        drop_ci95_points=(0.0, 0.2), agreement=1.0, agreement_ci95=(0.5, 1.0), sqnr_db=30.0, overlap=0,
        skipped_images=("1.png",), simulated=False, passed=True,
    )  # fmt: skip
    model = {
        "model": "small", "file": "small.onnx", "sha256": DIGEST, "bytes": 3, "method": "ptq",
        "precision": "int8", "changes": {"range": "minmax"},
    }  # fmt: skip
    return {
        "format": 1,
        "kind": "validate",
        "date": "2026-01-01T00:00:00+00:00",
        "command": "convnext-edge validate",
        "tools": {"numpy": "2"},
        "cpu": asdict(read_cpu()),
        "model": model,
        "result": json.loads(json.dumps(checked.to_json())),
    }


def read_results(folder: Path) -> None:
    """Show what a workspace keeps."""
    report(workspace=folder, output=folder / "page.html")


def read_graph(path: Path, target: str, suffix: str) -> None:
    """Build an engine of an ONNX file with a right sidecar, and run both."""
    chosen = find_target(target)
    content = path.read_bytes()
    signed = path.with_name("signed.onnx")
    artifact = write_artifact(signed, description(), lambda file: file.write_bytes(content) and None)
    engine = path.with_name(f"engine{suffix}")
    images = noise((3, graphs.RESOLUTION, graphs.RESOLUTION), "float32", batch=2, seed=0)

    def run(found: Artifact) -> None:
        with chosen.open_session(found) as session:
            session.run(images)

    each(
        lambda: run(artifact),
        lambda: run(write_artifact(engine, description("engine"), lambda file: chosen.build(path, file))),
    )


def read_class_names(path: Path) -> None:
    """Read the labels of an embedded engine."""
    artifact = Artifact(path, description("engine"), {path.name: DIGEST})
    read_labels(artifact, path)


def outputs() -> bytes:
    """Return a table as `predict` saves it."""
    content = BytesIO()
    np.save(content, np.zeros((2, 3), np.float32))
    return content.getvalue()


def web_package(content: bytes) -> Files:
    """Return npm's package with another package.json."""
    return {"package.json": content, **{f"dist/{name}": b"" for name in (SCRIPT, *LOADED)}}


DEFINITION = b'description = "x"\nobtain = "y"\nalso_called = ["z"]\nrecognized_by = ["*.png"]\n[splits]\n'
RECIPE = b'activation = "uint8"\nrange = "mse"\nweight_bits = 8\nkeep_float = ["head"]\noutside = 1e-5\n'
RECIPE_KEYS = tuple(Recipe().to_json())


def _either(*strategies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(*strategies)


def _sets() -> Iterator[tuple[str, Reader]]:
    for suffix, contents in (("tar", sets.tars()), ("tgz", sets.tgzs()), ("zip", sets.zips())):
        yield suffix, Reader(one(f"set.{suffix}", contents), _at(read_set, f"set.{suffix}"))
    yield "parquet", Reader(one("set.parquet", labels.parquets()), _at(read_set, "set.parquet"))
    yield "shards", Reader(labels.shards(), read_set)
    yield "label files", Reader(labels.label_files(), read_set)
    yield "label tables", Reader(labels.label_tables(), read_set)
    yield "synsets", Reader(labels.synset_files(), read_set)
    yield "devkits", Reader(labels.devkits(), read_set)


def _at(read: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    return lambda folder: read(folder / name)


def _graph(target: str, suffix: str) -> Reader:
    return Reader(
        one("model.onnx", graphs.models()),
        lambda folder: read_graph(folder / "model.onnx", target, suffix),
        slow=True,
    )


def _engine(target: str, suffix: str) -> Reader:
    return Reader(
        st.deferred(lambda: engines.engines(target, suffix)),
        lambda folder: engines.read_engine(folder, target, suffix, description("engine")),
        slow=True,
    )


READERS: dict[str, Reader] = {
    "pth": Reader(one("weights.pth", checkpoints.pickles()), _at(read_weights, "weights.pth")),
    "safetensors": Reader(
        one("weights.safetensors", checkpoints.safetensors_files()), _at(read_weights, "weights.safetensors")
    ),
    "folders": Reader(checkpoints.folders(), read_weights),
    "onnx weights": Reader(
        one("weights.onnx", graphs.models(graphs.small_convnext)), _at(read_weights, "weights.onnx")
    ),
    "snapshots": Reader(
        one("run.pt", checkpoints.snapshots()),
        lambda folder: snapshots.load(folder / "run.pt", {"format": 2, "seed": 0}),
    ),
    "sidecars": Reader(
        texts(sidecar()).map(lambda content: {"model.onnx": b"", "model.onnx.json": content}), read_sidecars
    ),
    "results": Reader(one("results/validate.json", texts(record())), read_results),
    "recipes": Reader(
        one("recipe.toml", _either(tables(RECIPE_KEYS), damaged(RECIPE))),
        lambda folder: read_recipe(folder / "recipe.toml", Recipe()),
    ),
    "definitions": Reader(
        one("set.toml", _either(tables(("description", "obtain", "splits")), damaged(DEFINITION))),
        lambda folder: read_definition(folder / "set.toml"),
    ),
    "class names": Reader(
        one("labels.txt", damaged(b"cat\ndog\ncow\n")), _at(read_class_names, "labels.txt")
    ),
    "package.json": Reader(
        texts({"name": "onnxruntime-web", "version": "1.30.0"}).map(web_package), read_version
    ),
    "outputs.npy": Reader(one("outputs.npy", damaged(outputs())), _at(is_ours, "outputs.npy")),
    "outputs.safetensors": Reader(
        one("outputs.safetensors", checkpoints.safetensors_files()), _at(is_ours, "outputs.safetensors")
    ),
    **{
        name: Reader(one(name, texts(told)), beside.read_preparation)
        for name, told in beside.PREPARATIONS.items()
    },
    "configs of weights": Reader(beside.configs(), beside.read_configured),
    "hub": Reader(beside.hub_files(), beside.read_hub),
    "classes": Reader(beside.class_files(), beside.read_classes),
    "arrays": Reader(beside.expectations(), beside.read_expectation),
    "images": Reader(one("picture", sets.pictures()), _at(read_picture, "picture")),
    **dict(_sets()),
    "onnx in onnxruntime": _graph("onnxruntime", ".opt.onnx"),
    "onnx in openvino": _graph("openvino", ".xml"),
    "onnx in torch": _graph("torch", ".pt2"),
    "engine of openvino": _engine("openvino", ".xml"),
    "engine of ort-mobile": _engine("ort-mobile", ".ort"),
}
