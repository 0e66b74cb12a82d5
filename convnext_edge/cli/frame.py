"""The frame of all commands: the group that holds them, --json and -v, printing, errors and exit codes."""

from __future__ import annotations

import json
import logging
import re
import shlex
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
from convnext_edge.commands.text import WIDTH, broken_into_lines, fold, printable_lines
from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.progress import LOGGER, say, shown, speaks
from convnext_edge.targets.vendor_errors import is_out_of_memory, short_message
from convnext_edge.version import __version__

VERBOSE = ("-v", "--verbose")
CHATTY = ("torch", "torchao", "nncf", "openvino", "onnxscript", "onnx_ir", "onnxruntime", "root")

PIECES = 10_000  # of JSON that are printed at a time


class Commands(click.Group):
    """The group of all commands; the module of one is imported where that one is called."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, None where there is none."""
        if cmd_name in convnext_edge.__all__:
            getattr(convnext_edge, cmd_name)  # a command is declared when its module is imported
        declared = COMMANDS.get(cmd_name)
        return None if declared is None else click_command(declared)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        for name in convnext_edge.__all__:
            getattr(convnext_edge, name)
        return sorted(COMMANDS)

    @property  # type: ignore[override]
    def commands(self) -> dict[str, click.Command]:
        """All commands by name, for those who look at them all, as Click does to tell the nearest."""
        return {name: click_command(COMMANDS[name]) for name in self.list_commands(click.Context(self))}

    @commands.setter
    def commands(self, given: dict[str, click.Command]) -> None:
        """Take what Click gives, which is nothing."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="convnext-edge")
@click.option(*VERBOSE, is_flag=True, help="As behind the command: let libraries' warnings and logs through.")
def main(verbose: bool) -> None:  # read in `runner`
    """ConvNeXt in INT8 on edge devices: export, quantize, build, validate, benchmark.

    \b
    Start with
      convnext-edge demo
      convnext-edge export --variant tiny
      convnext-edge quantize --calib imagenet_val
    """


def click_command(declared: Command) -> click.Command:
    """Return a command with --json and -v, whose result is printed and whose errors have no traceback."""
    parameters = declared.parameters()
    renamed = former_names(parameters)
    return ClickCommand(
        declared.name,
        context_settings={"token_normalize_func": lambda token: renamed.get(token, token)} if renamed else {},
        params=[
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object and nothing else."),
            click.Option(VERBOSE, is_flag=True, help="Let libraries' warnings and logs through."),
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
        verbose = verbose or bool(click.get_current_context().find_root().params.get("verbose"))
        listen(verbose)
        try:
            with (
                signals.undoing(),
                shown(declared.name, plain=verbose),
                redirect_stdout(sys.stderr),  # what libraries print
            ):
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


class Notes(logging.Handler):
    """Shows notes as errors are: long lines are broken between words, where a person reads them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a note."""
        text = printable_lines(self.format(record))
        say(fold(text) if sys.stderr.isatty() else text)


def listen(verbose: bool) -> None:
    """Send our notes to standard error, and those of libraries only with -v."""
    LOGGER.handlers[:] = [Notes()]
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
            for text in json_of(result) if as_json else [told(result)]:
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


def told(result: Result) -> str:
    """Return what a person is shown of a result: its summary, and the next command."""
    following = result.next_command()
    place = click.get_current_context().params.get("workspace")
    if following and place is not None:
        following += f" {shlex.join(['--workspace', str(place)])}"
    if len(following) > WIDTH - len("next: "):
        following = broken_into_lines(following, len("next: "))
    return printable_lines(result.summary()) + (f"\nnext: {following}" if following else "")


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
    click.echo(fold(printable_lines(f"Error: {error}")), err=True)
    sys.exit(error.exit_code)
