"""What a target is: the form and recipe that suit it, an engine builder and a session."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.errors import ConvNeXtEdgeError, RecipeError, TargetError, UsageError
from convnext_edge.quantization.recipe import ActivationType, Recipe, read_recipe

if TYPE_CHECKING:  # for the type alone: an engine's process need not load PyTorch
    from convnext_edge.network.lowering import Form

Images = NDArray[np.float32] | NDArray[np.uint8]  # (N, 3, H, W)
Logits = NDArray[np.float32]  # (N, classes)


@dataclass(frozen=True)
class Availability:
    """What a target can do on this machine. remedy: what to do where it cannot, or empty."""

    can_build: bool
    can_run: bool
    version: str | None
    remedy: str = ""


@dataclass(frozen=True)
class BuildOptions:
    """What may be asked of a build; None and () leave it to the target, which refuses what it has no use for.

    precision: of the layers that are not INT8. max_batch: the most images in a call. compute_capabilities:
    of the GPUs to build for, as "8.9". timing_cache: a file of kernel timings, read and brought up to date.
    """

    precision: Literal["fp32", "fp16"] | None = None
    max_batch: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: Path | None = None

    def asked(self) -> list[str]:
        """Names of the options that say something."""
        return [name for name, value in vars(self).items() if value not in (None, ())]


NO_OPTIONS = BuildOptions()
WORDS = 400  # characters of a runtime's message that are shown


@contextmanager
def translated(failure: str) -> Iterator[None]:
    """Whatever a runtime raises inside becomes a TargetError "`failure`: the runtime's own words".

    Runtimes raise RuntimeError, MemoryError and classes of their own that share no base.
    """
    try:
        yield
    except ConvNeXtEdgeError:
        raise
    except Exception as error:
        hint = "Give it fewer images at a time." if is_out_of_memory(error) else "Run with -v for the rest."
        raise TargetError(f"{failure}: {words_of(error)}", hint=hint) from error


def is_out_of_memory(error: Exception) -> bool:
    """Each runtime says it in words of its own."""
    said = re.search(r"alloc\w* memory|out of memory|bad.alloc", str(error), re.IGNORECASE)
    return isinstance(error, MemoryError) or said is not None


def words_of(error: BaseException) -> str:
    """What a runtime's exception says, without OpenVINO's source lines and ONNX Runtime's numbers."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = " ".join(line for line in lines if line and not re.match(r"Exception from |Check '", line))
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", said)
    return shorten(said or type(error).__name__, WORDS, placeholder=" …")


class Session(ABC):
    """A model ready to run; a context manager.

    runner: what messages call it. simulated: not by the runtime the target stands for. label: then why,
    as "simulated: no GPU here".
    """

    runner: ClassVar[str]
    simulated: bool = False
    label: str = ""

    def run(self, images: Images) -> Logits:
        """images: (N, 3, H, W) of the artifact's input type. Returns (N, classes) logits.

        Raises TargetError where the runtime fails: at images of another shape or type, or out of memory.
        """
        shape = "x".join(map(str, images.shape))
        with translated(f"{self.runner} cannot run the model on {shape} {images.dtype}"):
            return self._run(images)

    @abstractmethod
    def _run(self, images: Images) -> Logits:
        """As `run`, with the runtime's own exceptions."""

    def close(self) -> None:  # noqa: B027  a session without resources has nothing to close
        """Release what the session holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Target(ABC):
    """One runtime.

    package: the vendor's, imported only inside methods. form: how the model is lowered for it.
    recipe: what is quantized for it and how. suffix: of its engine files. options: fields of BuildOptions
    that it takes. rivals_fp16: INT8 is worth shipping only where it beats the target's own FP16.
    has_int8_kernels: it multiplies in integers, and does not simulate them in float. for_other_machines: as
    phones, so that what is timed here says little. activations: values of a recipe's `activation` that it
    runs.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    install: ClassVar[str]
    form: ClassVar[Form]
    recipe: ClassVar[Recipe]
    suffix: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    rivals_fp16: ClassVar[bool] = False
    has_int8_kernels: ClassVar[bool] = True
    for_other_machines: ClassVar[bool] = False
    activations: ClassVar[frozenset[ActivationType]] = frozenset({"uint8", "int8"})

    def availability(self) -> Availability:
        """Looks for the package without importing it."""
        if util.find_spec(self.package) is None:
            return Availability(False, False, None, f"pip install '{self.install}'")
        return Availability(True, True, self.version())

    def version(self) -> str:
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            raise TargetError(
                f"target {self.name} needs the package {self.package}, which is not installed",
                hint=f"pip install '{self.install}'",
            ) from None

    def check(self, options: BuildOptions) -> None:
        """Raises UsageError for an option that means nothing to this target."""
        for name in options.asked():
            if name not in self.options:
                option = "compute-capability" if name == "compute_capabilities" else name.replace("_", "-")
                raise UsageError(f"--{option} means nothing to target {self.name}", hint="Leave it out.")

    def check_recipe(self, recipe: Recipe) -> None:
        """Raises RecipeError for activations that this runtime has no use for."""
        unknown = sorted(recipe.activations - self.activations)
        if unknown:
            raise RecipeError(
                f"recipe: target {self.name} does not run {' or '.join(unknown)} activations",
                hint=f"It takes {', '.join(sorted(self.activations))}.",
            )

    def choose_recipe(self, path: Path | None, keep_float: Sequence[str] = ()) -> Recipe:
        """This target's recipe with the changes of a file, and more layers that stay float.

        Raises RecipeError for one that the target cannot run.
        """
        recipe = self.recipe if path is None else read_recipe(path, self.recipe)
        self.check_recipe(recipe)
        return replace(recipe, keep_float=(*recipe.keep_float, *keep_float))

    def engine_precision(self, precision: str, options: BuildOptions) -> str:
        """What an engine made of a graph of this `precision` is called."""
        return precision

    def record(self, options: BuildOptions) -> dict[str, Any]:
        """What the sidecar of an engine says of how it was built; later sessions go by it."""
        return {"runtime": self.package, "version": self.version()}

    @abstractmethod
    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> dict[str, Any] | None:
        """Compile the ONNX file `model` to `engine` (and companions beside it).

        options: checked by `check` before. Returns what the sidecar shall say beside `record`, where the
        building shows something; `notes` are sentences for the user. Raises TargetError.
        """

    def write_script(self, graph: Artifact, folder: Path, options: BuildOptions) -> str:
        """Fill `folder` with what builds the engine where only the vendor's own tool is; returns the command.

        Raises UsageError where the target has no such tool.
        """
        raise UsageError(f"--emit-script means nothing to target {self.name}", hint="Leave it out.")

    @abstractmethod
    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Make an ONNX file or an engine of this target ready to run on `threads` (all where None)."""

    def time_layers(self, model: Path, images: Images, *, runs: int, threads: int) -> dict[str, float] | None:
        """Mean milliseconds of each layer of an ONNX file by name; None where the runtime does not tell."""
        return None
