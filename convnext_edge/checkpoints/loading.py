"""Loading a ConvNeXt from a weights file of any library that publishes ConvNeXt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from convnext_edge.architecture import Architecture, Shape
from convnext_edge.checkpoints.class_names import NAMELESS, ClassNames, fault, names_of_config, task_of_config
from convnext_edge.checkpoints.config import Config
from convnext_edge.checkpoints.config_traits import Traits, obey_config
from convnext_edge.checkpoints.containers import shapes_of, unwrapped
from convnext_edge.checkpoints.folders import Located, check_index, locate
from convnext_edge.checkpoints.onnx_weights.reading import is_onnx, read_graph
from convnext_edge.checkpoints.places import Selection
from convnext_edge.checkpoints.recognition import Recognition, recognize
from convnext_edge.checkpoints.traits import resolve
from convnext_edge.checkpoints.weights import check_plain, read_contents
from convnext_edge.errors import CheckpointError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt, as_tuple
from convnext_edge.network.mask_rcnn import MaskRCNN
from convnext_edge.progress import note
from convnext_edge.tasks import WITH_CLASSES, Task, infer_task

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class GraphTold:
    """What an ONNX file tells besides its weights, and how they were proven."""

    changes: PreprocessingChanges  # what its graph shows of the preprocessing
    preprocessing: Preprocessing | None  # all of it, where our own metadata says so
    folded: tuple[str, ...]  # what it holds in other layers' weights, as "the norms' weights"
    proof: float  # largest difference of an output of the file to the model, in its deviations


@dataclass(frozen=True)
class Checkpoint:
    """A ConvNeXt that was read from a weights file, and the layout of that file."""

    model: ConvNeXt  # in evaluation mode, with weights in float32
    layout: str  # whose names the tensors have, such as "timm_v1"
    assumed: tuple[str, ...] = ()  # what shows in no tensor and nothing told, as "activation gelu"
    config: Config | None = None  # the file beside it that told of the model
    left_out: tuple[str, ...] = ()  # names of tensors that are not of the image model
    taken: str | None = None  # which of several weights these are, as "averaged (EMA) weights, under ema."
    task: Task = "classify"  # as the tensors tell it
    classes: ClassNames = NAMELESS
    folder: Path | None = None  # where configs of the library may lie
    graph: GraphTold | None = None  # of an ONNX file: what else it tells

    @property
    def architecture(self) -> Architecture:
        """The architecture of the model."""
        return self.model.architecture

    @property
    def as_published(self) -> Architecture:
        """The architecture, with the layer scale that an ONNX graph may hold in other layers' weights."""
        folds = self.graph is not None and bool(self.graph.folded) and not self.architecture.grn
        return replace(self.architecture, layer_scale=True) if folds else self.architecture


def load_checkpoint(
    place: Path | Located,
    asked: Traits = Traits(),  # noqa: B008  frozen
    selection: Selection = Selection(),  # noqa: B008  frozen
) -> Checkpoint:
    """Read a ConvNeXt; layout and architecture follow from the names and shapes of its tensors.

    place: as `locate` takes it, or what that found. asked: what shows in no tensor, as the user knows it.
    selection: which of the models in the file; where it holds both plain and averaged (EMA) weights, the
    averaged ones are taken by default. Layouts: see `checkpoints.layouts`. Raises CheckpointError for
    everything that is not exactly a ConvNeXt of ours.
    """
    located = place if isinstance(place, Located) else locate(place)
    if is_onnx(located.file):
        return load_graph(located.file, asked)
    contents = read_contents(located.paths)
    check_index(located, list(contents.tensors))
    tensors = unwrapped(contents.tensors, located.title)
    found = _recognize(tensors, located.title, selection)
    resolved = resolve(found.architecture, found.family, located.file, asked)
    model = _model(resolved.architecture, found, tensors, located.title)
    task = infer_task(model.architecture, projects=found.family == "open_clip")
    config = resolved.config if task in WITH_CLASSES else None
    task = task if config is None else task_of_config(config, task)
    return Checkpoint(
        model,
        found.layout,
        (*resolved.assumed, *assumed_of_names(found)),
        resolved.config,
        (*found.left_out, *contents.aside),
        found.taken,
        task,
        NAMELESS if config is None else names_of_config(config, model.architecture.classes),
        located.folder,
    )


def _recognize(tensors: Mapping[str, Tensor], path: str, selection: Selection = Selection()) -> Recognition:  # noqa: B008  frozen
    """Return what is recognized of the tensors; raise CheckpointError, of odd tensors before all else."""
    try:
        found = recognize(dict(shapes_of(tensors)), path, selection)
    except CheckpointError:
        for name, tensor in tensors.items():
            check_plain(tensor, f"{path}: {name}")
        raise
    for name in found.names.values():
        check_plain(tensors[name], f"{path}: {name}")
    for name, other in found.repeated:
        again, first = tensors[name], tensors[other]
        check_plain(again, f"{path}: {name}")
        if (again.dtype, again.shape) != (first.dtype, first.shape) or not torch.equal(again, first):
            raise CheckpointError(
                f"{path} has {name}, which is not {other}: the two are one layer of this library's models",
                hint="Save it again with that library, or leave one of them out.",
            )
    return found


def load_graph(
    path: Path,
    asked: Traits = Traits(),  # noqa: B008  frozen
    known: Preprocessing | None = None,
) -> Checkpoint:
    """Read a ConvNeXt from an ONNX graph, by its structure, and prove it by running both.

    asked: as in `load_checkpoint`. known: the preprocessing, where a sidecar tells it. Raises
    CheckpointError.
    """
    found = read_graph(path, asked, known)
    state = {
        name: _to_float32(torch.from_numpy(found.recovered.state[name]), shape, f"{path}: {name}")
        for name, shape in found.architecture.shapes().items()
    }
    model = _assemble(found.architecture, state)
    _check_answer(model, str(path))
    graph = GraphTold(
        found.pixels.told, found.metadata.preprocessing, found.recovered.folded, found.prove(model)
    )
    _, config = obey_config(path, found.architecture)
    names = _names_of_metadata(found.metadata.labels, found.architecture.classes, path)
    if not names.names and config is not None and found.task in WITH_CLASSES:
        names = names_of_config(config, found.architecture.classes)
    return Checkpoint(
        model, "onnx", config=config, task=found.task, classes=names, graph=graph, folder=path.parent
    )


def _names_of_metadata(names: tuple[str, ...], classes: int, path: Path) -> ClassNames:
    """Return the class names in the metadata of an ONNX file; a note says why they are not taken."""
    if names and (why := fault(names, classes)):
        note(f"class names in the metadata of {path.name} are not taken: {why}")
        return NAMELESS
    return ClassNames(names, f"the metadata of {path.name}") if names else NAMELESS


def assumed_of_names(found: Recognition) -> Iterator[str]:
    """Yield what other layers without tensors, or of the same ones, could stand in a checkpoint's places."""
    if found.names.get("head.weight", "").endswith(".1.weight"):
        yield "nothing but dropout before the last layer"
    if found.layout.endswith("conv_mlp") and found.architecture.norm == "layernorm":
        yield "LayerNorm"


def load_weights(path: Path, architecture: Architecture) -> ConvNeXt:
    """Read weights that `export` kept, as the model that their sidecar tells of; raises CheckpointError."""
    tensors = read_contents([path]).tensors
    found = _recognize(tensors, str(path))
    if found.architecture.shapes() != architecture.shapes():
        raise CheckpointError(
            f"{path} does not hold the model that its sidecar tells of", hint="Make it again: export."
        )
    return _model(architecture, found, tensors, str(path))


def _model(
    architecture: Architecture, found: Recognition, tensors: Mapping[str, Tensor], path: str
) -> ConvNeXt:
    state = {
        ours: _to_float32(tensors[found.names[ours]], shape, f"{path}: {found.names[ours]}")
        for ours, shape in architecture.shapes().items()
    }
    model = _assemble(architecture, state)
    _check_answer(model, path)
    return model


def _to_float32(tensor: Tensor, shape: Shape, where: str) -> Tensor:
    if tensor.dtype not in FLOATS:
        raise CheckpointError(
            f"{where} is of type {str(tensor.dtype).removeprefix('torch.')}, not floating point",
            hint="Give the weights before they were quantized: float32, float16 or bfloat16.",
        )
    weights = tensor.detach().to(torch.float32).reshape(shape).contiguous()
    lowest, highest = torch.aminmax(weights)  # both are NaN if any value is; 20 times as fast as isfinite
    if not math.isfinite(lowest) or not math.isfinite(highest):
        bad = int((~torch.isfinite(weights)).sum())
        if bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{where} of shape {shape} has {bad} values beyond float32, up to"
                f" {float(tensor.abs().max()):.1e}",
                hint="The training diverged or the file is damaged: take an earlier checkpoint.",
            )
        raise CheckpointError(
            f"{where} of shape {shape} has {bad} values that are NaN or infinite",
            hint="The training diverged or the file is damaged: take an earlier checkpoint.",
        )
    return weights


def _assemble(architecture: Architecture, state: dict[str, Tensor]) -> ConvNeXt:
    with torch.device("meta"):  # no memory and no initialization for weights that are replaced at once
        model = ConvNeXt(architecture)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _check_answer(model: ConvNeXt, path: str) -> None:
    """Raise CheckpointError where finite weights are so large that the answer to an image is not finite."""
    edge, channels = model.architecture.stride, model.architecture.channels
    pixels = torch.linspace(-2, 2, channels * edge * edge)  # the range of normalized pixels
    with torch.inference_mode():
        image = pixels.reshape(1, channels, edge, edge)
        answers = as_tuple(model(image))
        decoder = getattr(model, "decoder", None)
        if isinstance(decoder, MaskRCNN):
            # what is not finite is no object, and shows in no answer
            answers += decoder.dense(model.feature_maps(image)[1], (edge, edge))[0]
    finite = all(bool(torch.isfinite(answer).all()) for answer in answers)
    if not finite:
        largest = {name: float(weights.abs().max()) for name, weights in model.state_dict().items()}
        name = max(largest, key=lambda name: largest[name])
        raise CheckpointError(
            f"{path}: the model answers with NaN or infinity, as its weights go up to {largest[name]:.1e}"
            f" ({name})",
            hint="The training diverged or the file is damaged: take an earlier checkpoint.",
        )
