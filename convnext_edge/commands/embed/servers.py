"""What folders for inference servers have in common: the model repository, and a client in Python.

Both servers speak the Open Inference Protocol (KServe v2), so that one client asks either of them.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.commands.embed.bundle import LABELS, fill_readme, labelled, read_labels
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.noise import noise
from convnext_edge.images.way import way
from convnext_edge.progress import note
from convnext_edge.targets.kernels import Kernels
from convnext_edge.tasks import output_names

SOURCES = Path(__file__).parents[2] / "embed_sources" / "servers"
CLIENT = "client.py"
INPUT = "image"
ENDINGS = re.compile(r"(\.opt)?\.(onnx|xml|engine)\Z")  # of engines that servers take
UNVERIFIED = (
    "the configuration was checked against the server's documented schema, and the client against a stand-in"
    " for its protocol; neither met a running server"
)


@dataclass(frozen=True)
class Tensor:
    """An input or output of the model, as a server sees it."""

    name: str
    dims: tuple[int, ...]  # without the batch


@dataclass(frozen=True)
class Served:
    """A model in a repository: `models/NAME/1/` has the files of the engine, `models/NAME/` the labels."""

    engine: Artifact
    name: str
    folder: Path  # models/NAME
    image: Tensor
    outputs: tuple[Tensor, ...]

    @property
    def has_labels(self) -> bool:
        """Whether a number of the first output has a name."""
        return labelled(self.engine) > 0


def lay_out(engine: Artifact, labels: Path | None, folder: Path) -> Served:
    """Put an engine into the model repository of a folder, its labels beside it.

    The engine runs once, as its outputs have the shapes that it answers with. Raises UsageError for a wrong
    number of labels, TargetError where the engine does not run here.
    """
    described = engine.description
    name = name_in_repository(engine.path)
    place = folder / "models" / name
    (place / "1").mkdir(parents=True)
    for file in (*engine.files, sidecar_path(engine.path).name):
        shutil.copyfile(engine.path.parent / file, place / "1" / file)
    lines = read_labels(engine, labels)
    if lines:
        (place / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    shape = described.preprocessing.shape
    with open_session(engine, str(described.target), threads=1) as session:
        answers = session.run_all(noise(shape, described.input_type, batch=1))
    names = output_names(described.task, described.architecture)
    outputs = tuple(Tensor(*each) for each in zip(names, (a.shape[1:] for a in answers), strict=True))
    return Served(engine, name, place, Tensor(INPUT, shape), outputs)


def name_in_repository(engine: Path) -> str:
    """Return what the servers call a model: the engine's name, in characters that any URL may have.

    A note says so where the engine has others.
    """
    stem = ENDINGS.sub("", engine.name)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("_.-") or "model"
    if name != stem:
        note(f"the servers call {stem!r} {name!r}: names of models are parts of URLs and of paths")
    return name


def write_papers(served: Served, folder: Path, server: str, kernels: Kernels, **more: str) -> None:
    """Write README.md and the client of a folder. server: whose README it is. more: what that has besides."""
    shutil.copyfile(SOURCES / "client" / CLIENT, folder / CLIENT)
    shutil.copyfile(SOURCES / server / "README.md", folder / "README.md")
    described = served.engine.description
    prepared = described.preprocessing
    takes_bytes = described.input_type == "uint8"
    normal = (
        "the model normalizes them itself"
        if takes_bytes
        else f"(pixel / 255 - mean) / std, mean {_numbers(prepared.mean)}, std {_numbers(prepared.std)}"
    )
    fill_readme(
        served.engine,
        folder,
        kernels,
        name=served.name,
        way=way(prepared),
        normal=normal,
        datatype=datatype(served.engine).replace("TYPE_", ""),
        image=_shape(served.image),
        outputs="; ".join(f"`{output.name}` {_shape(output)} of FP32" for output in served.outputs),
        unverified=f"{UNVERIFIED[0].upper()}{UNVERIFIED[1:]}.",
        **more,
    )


def datatype(engine: Artifact) -> str:
    """Return the type of the input by Triton's name."""
    return "TYPE_UINT8" if engine.description.input_type == "uint8" else "TYPE_FP32"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, ('N', *tensor.dims)))})"
