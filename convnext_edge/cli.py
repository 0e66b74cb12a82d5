"""The command line: each command parses, calls the function of its name, and prints what it returns."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from typing import Any, NoReturn

import click

import convnext_edge
from convnext_edge import options as common
from convnext_edge import quiet, summaries
from convnext_edge.errors import ConvNeXtEdgeError, UsageError
from convnext_edge.progress import LOGGER, speaks
from convnext_edge.results import Result
from convnext_edge.targets.base import is_out_of_memory, words_of
from convnext_edge.version import __version__

GATE_NOT_MET = 3
CHATTY = ("torch", "torchao", "nncf", "openvino", "onnxscript", "onnx_ir", "onnxruntime", "root")

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="convnext-edge")
def main() -> None:
    """ConvNeXt in INT8 on edge devices: export, quantize, build, validate, benchmark.

    \b
    Start with
      convnext-edge demo
      convnext-edge export --variant tiny
      convnext-edge quantize --calib imagenet_val
    """


def command(example: str) -> Callable[[Command], click.Command]:
    """A command with --json and -v whose result is printed and whose errors are shown without traceback."""

    def decorate(function: Command) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
        @click.option("-v", "--verbose", is_flag=True, help="Let libraries' warnings and logs through.")
        @wraps(function)
        def run(as_json: bool, verbose: bool, **options: Any) -> None:
            listen(verbose)
            try:
                with redirect_stdout(sys.stderr):  # what libraries print
                    result = function(**options)
            except Exception as error:
                if verbose:
                    LOGGER.info("", exc_info=error)
                fail(translate(error))
            show(result, as_json)

        purpose = re.sub(r" \(default: .*?\)", "", (function.__doc__ or "").splitlines()[0])
        epilog = f"\b\nExample:  {example}"
        return main.command(name=function.__name__, short_help=purpose, epilog=epilog)(run)

    return decorate


class Notes(logging.Formatter):
    """Notes as errors are shown: long lines broken between words, where a person reads them."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        text = super().formatMessage(record)
        return summaries.fold(text) if sys.stderr.isatty() else text


def listen(verbose: bool) -> None:
    """Our notes to standard error; libraries' only with -v."""
    handler = logging.StreamHandler()
    handler.setFormatter(Notes("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    if verbose:
        quiet.be_verbose()
        return
    warnings.simplefilter("ignore")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def show(result: Result, as_json: bool) -> None:
    """Print a result; exit code 3 where it says that a gate was not met."""
    if speaks():
        click.echo(json.dumps(result.to_json(), indent=2) if as_json else summaries.summary(result))
    if getattr(result, "passed", True) is False:
        sys.exit(GATE_NOT_MET)


def translate(error: Exception) -> ConvNeXtEdgeError:
    """An error for people; what is none of theirs, a fault of ours, is raised again."""
    if isinstance(error, ConvNeXtEdgeError):
        return error
    if is_out_of_memory(error):
        return ConvNeXtEdgeError(
            f"there is not enough memory: {words_of(error)}",
            hint="Take a smaller model, --resolution or --batch, or end other programs.",
        )
    raise error


def fail(error: ConvNeXtEdgeError) -> NoReturn:
    click.echo(summaries.fold(f"Error: {error}"), err=True)
    sys.exit(error.exit_code)


@command("convnext-edge variants")
def variants() -> Result:
    """List the named models: size, published accuracy, license."""
    return convnext_edge.variants()


@command("convnext-edge doctor")
def doctor() -> Result:
    """Tell what this machine can build and run."""
    return convnext_edge.doctor()


@command("convnext-edge export --variant tiny")
@click.option("--variant", help="Name from `convnext-edge variants`; beside --checkpoint, a check.")
@click.option("--checkpoint", type=common.FILE, help="Weights of your own: .safetensors, .pth, .pt or .bin.")
@click.option("--random-weights", is_flag=True, help="Seeded noise as weights, for work on latency.")
@click.option("--resolution", type=int, metavar="PIXELS", help="Edge of the input.  [default: the variant's]")
@click.option(
    "--crop",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Of the resized image's edge that is kept.",
)
@click.option("--mean", type=(float, float, float), metavar="R G B", help="Of the pixels, in 0..1.")
@click.option("--std", type=(float, float, float), metavar="R G B", help="Standard deviation of the pixels.")
@click.option(
    "--target",
    type=common.TARGET,
    metavar="NAME",
    help=f"Lower for this runtime: {common.RUNTIMES}.  [default: plain, for any]",
)
@click.option(
    "--input",
    "input_type",
    type=click.Choice(["float32", "uint8"]),
    default="float32",
    show_default=True,
    help="Normalized values, or raw RGB bytes.",
)
@common.output
@common.workspace
@common.seed
def export(**options: Any) -> Result:
    """Write a trained ConvNeXt as ONNX, checked against PyTorch."""
    return convnext_edge.export(**options)


@command("convnext-edge quantize --calib imagenet_val --data-root ~/data")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to take activation ranges from.")
@common.samples
@common.for_target
@click.option(
    "--method",
    type=click.Choice(["ptq", "nncf", "ort"]),
    default="ptq",
    show_default=True,
    help="Ours; NNCF over our placement; ONNX Runtime's quantize_static.",
)
@common.recipe_file
@common.weights_file
@common.kept_float
@click.option(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Gate: keep layers float, costliest first, until no more top-1 is lost.",
)
@click.option("--data", metavar="NAME|PATH", help="Images for --max-drop.  [default: those of --calib]")
@click.option(
    "--timing/--no-timing",
    default=True,
    show_default=True,
    help="Gate: no slower than the target's own FP32, where the target runs here.",
)
@click.option("--allow-slower", is_flag=True, help="Time it, but let slower INT8 pass.")
@common.data_root
@common.output
@common.workspace
@common.seed
def quantize(**options: Any) -> Result:
    """Quantize to INT8 after training, from MODEL (default: the newest export)."""
    return convnext_edge.quantize(**options)


@command("convnext-edge finetune --train ~/data/train --steps 500")
@common.model
@click.option(
    "--train", required=True, metavar="NAME|PATH", help="Images to train with; labels are not needed."
)
@click.option("--calib", metavar="NAME|PATH", help="Images to take first ranges from.  [default: --train's]")
@common.samples
@click.option("--data", metavar="NAME|PATH", help="Images to measure on.  [default: 5 % of --train]")
@common.for_target
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="How often each image is seen.")
@click.option("--steps", type=click.IntRange(1), help="How long, in place of --epochs.  [default: 300]")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Images in a step, of all processes together.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=5e-4,
    show_default=True,
    help="At its peak.",
)
@click.option(
    "--label-weight",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the labels in the loss; the rest is the reference's answer.",
)
@click.option(
    "--activation",
    type=click.Choice(["gelu", "relu"]),
    default="gelu",
    show_default=True,
    help="relu swaps GELU for the faster ReLU.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic; auto: bf16 on GPUs that have it.",
)
@click.option("--compile/--no-compile", help="Train through torch.compile: pays in long runs.  [default: no]")
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="STEPS",
    help="Save what --resume needs.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, to the same result.")
@common.recipe_file
@common.weights_file
@common.kept_float
@common.data_root
@common.output
@common.workspace
@common.seed
def finetune(**options: Any) -> Result:
    """Train MODEL (default: the newest export) to lose nothing in INT8."""
    return convnext_edge.finetune(**options)


@command("convnext-edge sensitivity --calib imagenet_val --samples 32")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to measure with.")
@click.option("--samples", type=click.IntRange(1), help="How many of them.  [default: 32, or all of fewer]")
@common.for_target
@common.recipe_file
@common.weights_file
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Timed calls in a round.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the timed calls.")
@common.data_root
@common.workspace
@common.seed
def sensitivity(**options: Any) -> Result:
    """Tell what INT8 costs and gains in each layer of MODEL (default: newest)."""
    return convnext_edge.sensitivity(**options)


@command("convnext-edge build --target openvino")
@common.model
@common.target
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    help="TensorRT: of layers that are not INT8.  [default: fp16 beside INT8, else fp32]",
)
@click.option("--max-batch", type=click.IntRange(1), help="TensorRT: most images in a call.  [default: 8]")
@click.option(
    "--compute-capability",
    multiple=True,
    metavar="X.Y",
    help="TensorRT-RTX: of the GPUs to build for; repeatable.  [default: 8.0 and later]",
)
@click.option("--timing-cache", type=common.FILE, help="TensorRT: file that makes the next build faster.")
@click.option("--emit-script", is_flag=True, help="TensorRT: write a folder that builds with trtexec.")
@common.output
@common.workspace
def build(emit_script: bool, **options: Any) -> Result:
    """Compile MODEL (default: the newest that fits) to an engine."""
    if not emit_script:
        return convnext_edge.build(**options)
    for name in ("compute_capability", "timing_cache"):
        if options.pop(name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} means nothing with --emit-script", hint="Leave it out.")
    return convnext_edge.build_script(**options)


@command("convnext-edge embed --lang cpp -o my-app/classifier")
@click.argument("engine", type=common.FILE, required=False)
@click.option(
    "--lang",
    type=click.Choice(["cpp", "web", "android", "ios"]),
    required=True,
    help="Language of the application.",
)
@click.option("--labels", type=common.FILE, help="Text with one label a line.  [default: the model's own]")
@click.option(
    "--runtime",
    type=common.FOLDER,
    help="web: folder of npm's onnxruntime-web.  [default: the nearest node_modules']",
)
@click.option(
    "-o",
    "--output",
    type=common.FOLDER,
    help="Folder to write, new or empty.  [default: a name in the workspace]",
)
@common.workspace
def embed(**options: Any) -> Result:
    """Put ENGINE (default: the newest) into a folder for an application."""
    return convnext_edge.embed(**options)


@command("convnext-edge validate --data imagenet_val --max-drop 0.5")
@common.model
@click.option("--data", required=True, metavar="NAME|PATH", help="Images to compare on.")
@click.option("--limit", type=click.IntRange(1), help="Take a seeded subset of that many.")
@common.target
@click.option("--max-drop", type=float, metavar="POINTS", help="Gate: top-1 points that may be lost.")
@click.option("--min-agreement", type=click.FloatRange(0, 1), metavar="FRACTION", help="Gate: same top-1.")
@common.data_root
@common.workspace
@common.seed
def validate(**options: Any) -> Result:
    """Compare MODEL (default: the newest) with FP32 PyTorch, image by image."""
    return convnext_edge.validate(**options)


@command("convnext-edge benchmark --threads 1 --min-speedup 2")
@common.model
@common.target
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images in a call.")
@click.option("--threads", type=click.IntRange(1), help="Of reference and candidate.  [default: all CPUs]")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed calls of each.")
@click.option("--min-speedup", type=float, metavar="X", help="Gate: ratio of the median latencies.")
@common.workspace
def benchmark(**options: Any) -> Result:
    """Time MODEL (default: the newest) against FP32 PyTorch, interleaved."""
    return convnext_edge.benchmark(**options)


@command("convnext-edge compare --calib demo --data demo")
@common.model
@click.option("--calib", required=True, metavar="NAME|PATH", help="Images to take activation ranges from.")
@common.samples
@click.option("--data", required=True, metavar="NAME|PATH", help="Images to compare on.")
@click.option("--limit", type=click.IntRange(1), help="Take a seeded subset of that many.")
@click.option(
    "--targets",
    multiple=True,
    callback=common.names,
    metavar="NAME,...",
    help="Runtimes.  [default: openvino,onnxruntime]",
)
@click.option(
    "--methods",
    multiple=True,
    callback=common.names,
    metavar="NAME,...",
    help="fp32, ptq, nncf, ort, or files of recipes (.toml).  [default: all four]",
)
@click.option("--threads", type=click.IntRange(1), help="Of the timed calls.  [default: all CPUs]")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed calls of each.")
@common.data_root
@common.workspace
@common.seed
def compare(**options: Any) -> Result:
    """Try several methods on several runtimes, from MODEL (default: the newest)."""
    return convnext_edge.compare(**options)


@command("convnext-edge report -o report.html")
@click.option(
    "-o", "--output", type=common.FILE, help="File to write.  [default: report.html in the workspace]"
)
@common.workspace
def report(**options: Any) -> Result:
    """Show what validate, benchmark and compare found as one HTML file."""
    return convnext_edge.report(**options)


@command("convnext-edge demo")
@common.workspace
def demo(**options: Any) -> Result:
    """Run the whole way offline, on a small model of the package."""
    return convnext_edge.demo(**options)
