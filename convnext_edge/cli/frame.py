"""The frame of all commands: the group that holds them, --json and -v, printing, errors and exit codes."""

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

from convnext_edge import quiet
from convnext_edge.cli.summaries import summary
from convnext_edge.cli.text import fold
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.progress import LOGGER, speaks
from convnext_edge.results import Result
from convnext_edge.targets.vendor_errors import is_out_of_memory, short_message
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
        return fold(text) if sys.stderr.isatty() else text


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
        click.echo(json.dumps(result.to_json(), indent=2) if as_json else summary(result))
    if getattr(result, "passed", True) is False:
        sys.exit(GATE_NOT_MET)


def translate(error: Exception) -> ConvNeXtEdgeError:
    """An error for people; what is none of theirs, a fault of ours, is raised again."""
    if isinstance(error, ConvNeXtEdgeError):
        return error
    if is_out_of_memory(error):
        return ConvNeXtEdgeError(
            f"there is not enough memory: {short_message(error)}",
            hint="Take a smaller model, --resolution or --batch, or end other programs.",
        )
    raise error


def fail(error: ConvNeXtEdgeError) -> NoReturn:
    click.echo(fold(f"Error: {error}"), err=True)
    sys.exit(error.exit_code)
