"""The base classes of targets: a Target has a form and a recipe, builds engines and opens sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.closing import Closing
from convnext_edge.cpu import Machine
from convnext_edge.errors import RecipeError, TargetError, UsageError
from convnext_edge.quantization.recipe import ActivationType, Recipe, read_recipe
from convnext_edge.targets.vendor_errors import as_target_error
from convnext_edge.tasks import Task

if TYPE_CHECKING:  # which is made of what is here
    from convnext_edge.targets.streams import Streams

Images = NDArray[np.float32] | NDArray[np.uint8]  # (N, channels, H, W)
Logits = NDArray[np.float32]  # (N, classes)
Outputs = tuple[NDArray[np.float32], ...]  # of a model, in its order, each (N, ...)


@dataclass(frozen=True)
class Availability:
    """What a target can do on this machine."""

    can_build: bool
    can_run: bool
    version: str | None  # of the vendor's package; None where it is not installed
    remedy: str = ""  # what to do where the target cannot build or run; empty where it can both


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build; None and () leave the choice to the target.

    A target refuses those that it has no use for.
    """

    precision: Literal["fp32", "fp16"] | None = None  # of the layers that are not INT8
    max_batch: int | None = None  # the most images in a call
    compute_capabilities: tuple[str, ...] = ()  # of the GPUs to build for, as "8.9"
    timing_cache: Path | None = None  # a file of kernel timings, read and brought up to date

    def asked(self) -> list[str]:
        """Return the names of the options that were given a value."""
        return [name for name, value in vars(self).items() if value not in (None, ())]


NO_OPTIONS = BuildOptions()


@dataclass(frozen=True)
class Node:
    """A node of an engine, as the runtime times it."""

    name: str
    kind: str  # of operator
    milliseconds: float


class Session(Closing, ABC):
    """A model that is ready to run, as a context manager that releases it.

    Threads may share it: where the runtime takes one call at a time, calls of a session wait for each other,
    those of several sessions do not. Close it when no call is under way.
    """

    runner: ClassVar[str]  # the name of the runtime in messages
    takes_threads: ClassVar[bool] = False  # whether the runtime itself takes several calls at a time
    simulated: bool = False  # whether something else computes than the runtime that the target stands for
    label: str = ""  # why it is simulated, as "simulated: no GPU here"

    _turn: AbstractContextManager[object]  # held during a call

    def __new__(cls, *arguments: object, **options: object) -> Self:
        session = super().__new__(cls)
        session._turn = nullcontext() if cls.takes_threads else Lock()
        return session

    def run(self, images: Images) -> NDArray[np.float32]:
        """Return the first output of a model, such as the logits (N, classes); otherwise as `run_all`."""
        return self.run_all(images)[0]

    def run_all(self, images: Images) -> Outputs:
        """Return all outputs of a model for images.

        images: (N, channels, H, W) of the artifact's input type.
        Raises TargetError where the runtime fails: at images of another shape or type, or out of memory.
        """
        shape = "x".join(map(str, images.shape))
        with self._turn, as_target_error(f"{self.runner} cannot run the model on {shape} {images.dtype}"):
            return self._run(images)

    @abstractmethod
    def _run(self, images: Images) -> Outputs:
        """Do what `run_all` does, and let the runtime's own exceptions through."""


@dataclass(frozen=True)
class LayerTime:
    """The mean time of a layer in calls of a model, as the runtime itself counts it."""

    milliseconds: float
    operator: str  # as the runtime names it, as "Convolution"
    kernel: str | None = None  # what ran it, as "jit_avx512_1x1_I8"; None where the runtime does not tell


class Target(ABC):
    """A runtime that a model is built for and run with."""

    name: ClassVar[str]  # as in `--target`
    package: ClassVar[str]  # the vendor's, imported only inside methods
    install: ClassVar[str]  # what pip installs it by
    form: ClassVar[Form]  # how the model is lowered for it
    # the forms whose INT8 layers are multiplied in INT8, the best first; a machine not looked at is not there
    int8_forms: ClassVar[Mapping[Machine, tuple[Form, ...]]] = {}
    runs_on: ClassVar[Machine | None] = None  # where no machine is named; None for the one at hand
    moment_norms: ClassVar[bool] = False  # whether norms of INT8 models are faster from mean and length
    recipe: ClassVar[Recipe]  # what is quantized for it and how
    suffix: ClassVar[str]  # of its engine files
    options: ClassVar[frozenset[str]] = frozenset()  # the fields of BuildOptions that it takes
    rivals_fp16: ClassVar[bool] = False  # INT8 is worth shipping only where it beats the target's own FP16
    has_int8_kernels: ClassVar[bool] = True  # False: it simulates the products of integers in float
    takes_machine: ClassVar[bool] = True  # False: it builds for what the engine is built on, or for GPUs
    for_other_machines: ClassVar[bool] = False  # as phones: what is timed here says little
    takes_dynamic_size: ClassVar[bool] = False  # whether images may have any height and width
    takes_segmenters: ClassVar[bool] = False  # whether it was tried with a decoder
    takes_detectors: ClassVar[bool] = False  # whether it was tried with a detector
    takes_streams: ClassVar[bool] = False  # whether `open_streams` has several calls in flight
    times_layers: ClassVar[bool] = False  # whether `time_layers` tells anything
    activations: ClassVar[frozenset[ActivationType]] = frozenset({"uint8", "int8"})  # types that it runs

    def availability(self) -> Availability:
        """Return what the target can do here; the package is looked for without importing it."""
        if util.find_spec(self.package) is None:
            return Availability(False, False, None, f"pip install '{self.install}'")
        return Availability(True, True, self.version())

    def version(self) -> str:
        """Return the version of the vendor's package; raise TargetError where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            raise TargetError(
                f"target {self.name} needs the package {self.package}, which is not installed",
                hint=f"pip install '{self.install}'",
            ) from None

    @property
    def differs_by_machine(self) -> bool:
        """Whether a quantized model has another form for another machine."""
        return len({forms[0] for forms in self.int8_forms.values()}) > 1

    def int8_form(self, machine: Machine | None) -> Form:
        """Return how a model is lowered that is to be quantized and to run on such a machine."""
        forms = self.int8_forms.get(machine, ()) if machine else ()
        return forms[0] if forms else self.form

    def int8_kernels(self, form: Form, machine: Machine | None) -> bool | None:
        """Return whether INT8 layers of a form are multiplied in INT8 on such a machine.

        None where it is not known: of another machine, or of a runtime that was not looked at there.
        """
        if not self.has_int8_kernels:
            return False
        forms = self.int8_forms.get(machine) if machine else None
        return None if forms is None else form in forms

    def check(self, options: BuildOptions) -> None:
        """Raise UsageError for an option that means nothing to this target."""
        for name in options.asked():
            if name not in self.options:
                option = "compute-capability" if name == "compute_capabilities" else name.replace("_", "-")
                raise UsageError(f"--{option} means nothing to target {self.name}", hint="Leave it out.")

    def checked_machine(self, machine: Machine | None) -> Machine | None:
        """Return a kind of machine as it is; raise UsageError where it makes no difference to this target."""
        if machine is not None and not self.takes_machine:
            raise UsageError(
                f"--for {machine} means nothing to target {self.name}",
                hint="Leave it out, or take --target openvino or onnxruntime.",
            )
        return machine

    def check_dynamic_size(self) -> None:
        """Raise TargetError where images of this target must all have one size."""
        if not self.takes_dynamic_size:
            raise TargetError(
                f"target {self.name} takes images of one size, and --dynamic-size is asked for",
                hint="Take openvino or onnxruntime, or export for each size.",
            )

    def check_task(self, task: Task) -> None:
        """Raise TargetError for a task that was never tried on this target."""
        if task == "detect" and not self.takes_detectors:
            raise TargetError(
                f"target {self.name} does not take task detect: nobody tried what it makes of"
                " NonMaxSuppression and RoiAlign",
                hint="Take openvino, onnxruntime or tensorrt. --task features leaves the heads out.",
            )
        if task == "segment" and not self.takes_segmenters:
            raise TargetError(
                f"target {self.name} does not take task segment: nobody tried what it makes of a decoder,"
                " whose maps are resized",
                hint="Take openvino or onnxruntime. --task features leaves the decoder out.",
            )

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise RecipeError for activations that this runtime has no use for."""
        unknown = sorted(recipe.activations - self.activations)
        if unknown:
            raise RecipeError(
                f"recipe: target {self.name} does not run {' or '.join(unknown)} activations",
                hint=f"It takes {', '.join(sorted(self.activations))}.",
            )

    def choose_recipe(self, path: Path | None, keep_float: Sequence[str] = ()) -> Recipe:
        """Return the target's recipe with the changes of a file, and more layers that stay float.

        Raises RecipeError for a recipe that the target cannot run.
        """
        recipe = self.recipe if path is None else read_recipe(path, self.recipe)
        self.check_recipe(recipe)
        return replace(recipe, keep_float=(*recipe.keep_float, *keep_float))

    def engine_precision(self, precision: str, options: BuildOptions) -> str:
        """Return the precision that an engine made of a graph of this `precision` has."""
        return precision

    def record(self, options: BuildOptions) -> dict[str, Any]:
        """Return what the sidecar of an engine says of how it was built; later sessions go by it."""
        return {"runtime": self.package, "version": self.version()}

    @abstractmethod
    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any] | None:
        """Compile the ONNX file `model` to `engine` (and companions beside it).

        options: checked by `check` before. Returns what the sidecar shall say beside `record`, or None where
        there is nothing more to say; `notes` are sentences for the user. Raises TargetError.
        """

    def write_script(self, graph: Artifact, folder: Path, options: BuildOptions) -> str:
        """Fill `folder` with what builds the engine where only the vendor's own tool is; return the command.

        Raises UsageError where the target has no such tool.
        """
        raise UsageError(f"--emit-script means nothing to target {self.name}", hint="Leave it out.")

    @abstractmethod
    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Make an ONNX file or an engine of this target ready to run on `threads` (all where None)."""

    def open_beside(self, artifact: Artifact) -> Session:
        """Make one ready that takes turns with other work: threads that wait leave the CPUs to it."""
        return self.open_session(artifact)

    def layers_of(self, nodes: Sequence[Node]) -> dict[str, float]:
        """Return milliseconds by layer from those of the runtime's nodes, in the order in which they run."""
        return {node.name: node.milliseconds for node in nodes}

    def open_streams(self, artifact: Artifact, *, streams: int | None, threads: int) -> Streams:
        """Make one ready to run several calls at a time, for throughput, on `threads` threads in all.

        streams: how many calls, at most `threads`; None leaves it to the runtime. Raises UsageError where the
        target `takes_streams` not.
        """
        raise UsageError(f"--streams means nothing to target {self.name}", hint="Leave it out.")

    def time_layers(
        self, model: Path, images: Images, *, runs: int, threads: int, weights_only: bool = False
    ) -> dict[str, LayerTime] | None:
        """Return the time of each layer by name; None where the runtime does not tell (`times_layers`).

        model: an ONNX file or an engine. images: (N, 3, H, W), run `runs` times. weights_only: whether it
        quantizes weights alone.
        """
        return None
