"""The frame of all commands: the group that holds them, --json and -v, printing, errors and exit codes."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import islice
from typing import NoReturn

import click

import convnext_edge
from convnext_edge import quiet
from convnext_edge.cli import signals
from convnext_edge.cli.parameters import Command as ClickCommand
from convnext_edge.cli.parameters import former_names, to_click
from convnext_edge.commands.declaration import COMMANDS, Command
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import fold
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.progress import LOGGER, speaks
from convnext_edge.targets.vendor_errors import is_out_of_memory, short_message
from convnext_edge.version import __version__

CHATTY = ("torch", "torchao", "nncf", "openvino", "onnxscript", "onnx_ir", "onnxruntime", "root")

PIECES = 10_000  # of JSON that are printed at a time


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


def add_commands() -> None:
    """Put every declared command into the group."""
    for name in convnext_edge.__all__:
        getattr(convnext_edge, name)  # a command is declared when its module is imported
    for declared in COMMANDS.values():
        main.add_command(click_command(declared))


def click_command(declared: Command) -> click.Command:
    """Return a command with --json and -v, whose result is printed and whose errors have no traceback."""
    parameters = declared.parameters()
    renamed = former_names(parameters)
    return ClickCommand(
        declared.name,
        context_settings={"token_normalize_func": lambda token: renamed.get(token, token)} if renamed else {},
        params=[
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object and nothing else."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Let libraries' warnings and logs through."),
            *map(to_click, parameters),
        ],
        callback=runner(declared),
        help=declared.purpose,
        short_help=re.sub(r" \(default: .*?\)", "", declared.purpose),
        epilog=f"\b\nExample:  {declared.example}",
    )


def runner(declared: Command) -> Callable[..., None]:
    """Return what Click calls with the options of a command."""

    def run(as_json: bool, verbose: bool, **options: object) -> None:
        listen(verbose)
        try:
            with signals.undoing(), redirect_stdout(sys.stderr):  # what libraries print
                result = getattr(convnext_edge, declared.name)(**options)
        except KeyboardInterrupt:
            signals.end()
        except Exception as error:
            if signals.received():  # in the midst of an import, it may become any error
                signals.end()
            if verbose:
                LOGGER.info("", exc_info=error)
            fail(translate(error))
        show(result, as_json)

    return run


class Notes(logging.Formatter):
    """Notes are shown as errors are: long lines are broken between words, where a person reads them."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        text = super().formatMessage(record)
        return fold(text) if sys.stderr.isatty() else text


def listen(verbose: bool) -> None:
    """Send our notes to standard error, and those of libraries only with -v."""
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
    """Print a result, and exit with its code where that is not 0."""
    if speaks():
        try:
            for text in json_of(result) if as_json else [result.summary()]:
                click.echo(text, nl=False)
            click.echo()
        except BrokenPipeError:
            raise  # Click knows: whoever reads has seen enough
        except OSError as error:
            fail(
                ConvNeXtEdgeError(f"the result cannot be printed: {error.strerror}", hint="The work is done.")
            )
    if result.exit_code:
        sys.exit(result.exit_code)


def json_of(result: Result) -> Iterator[str]:
    """Yield the JSON object of a result in pieces: as one text, that of 50,000 pictures takes 240 MiB."""
    pieces = json.JSONEncoder(indent=2).iterencode(result.to_json())
    while piece := "".join(islice(pieces, PIECES)):
        yield piece


def translate(error: Exception) -> ConvNeXtEdgeError:
    """Return an error for people; what is none of theirs, a fault of ours, is raised again."""
    if isinstance(error, ConvNeXtEdgeError):
        return error
    if is_out_of_memory(error):
        return ConvNeXtEdgeError(
            f"there is not enough memory: {short_message(error)}",
            hint="Take a smaller model, --resolution or --batch, or end other programs.",
        )
    raise error


def fail(error: ConvNeXtEdgeError) -> NoReturn:
    """Print an error and exit with its code."""
    click.echo(fold(f"Error: {error}"), err=True)
    sys.exit(error.exit_code)
