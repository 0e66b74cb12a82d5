"""One declaration for the library and the command line: what a function takes is what `--help` offers."""

from __future__ import annotations

import ast
import inspect
import pydoc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import click
import pytest

import convnext_edge
from convnext_edge.cli import main
from convnext_edge.cli.parameters import Command as NumbersCommand
from convnext_edge.cli.parameters import to_click
from convnext_edge.commands.declaration import COMMANDS, Argument, Command, Option
from convnext_edge.commands.result import Result
from convnext_edge.paths import AnyPath

NAMES = sorted(main.commands)  # which declares them
OF_THE_FRAME = {"as_json", "verbose"}
PACKAGE = Path(convnext_edge.__file__).parent


def test_every_command_is_a_function_of_the_library() -> None:
    assert sorted(main.commands) == sorted(COMMANDS)
    for name, declared in COMMANDS.items():
        assert getattr(convnext_edge, name) is declared.function


@pytest.mark.parametrize("name", NAMES)
def test_names_and_defaults_are_the_same_in_help_and_in_python(name: str) -> None:
    signature = inspect.signature(getattr(convnext_edge, name))
    python = {
        parameter.name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for parameter in signature.parameters.values()
    }
    shown = [parameter for parameter in main.commands[name].params if parameter.name not in OF_THE_FRAME]
    command_line = {p.name: None if p.required else p.to_info_dict()["default"] for p in shown}
    assert list(command_line) == list(python)
    assert {key: value or None for key, value in command_line.items()} == {
        key: value or None for key, value in python.items()
    }
    assert [parameter.name for parameter in shown if parameter.required] == [
        name for name, p in signature.parameters.items() if p.default is inspect.Parameter.empty
    ]


def test_a_command_returns_a_result_that_prints_itself() -> None:
    for declared in COMMANDS.values():
        returned = inspect.signature(declared.function).return_annotation
        assert returned, declared.name
    kinds = [kind for kind in all_kinds_of_results() if kind.__module__ != Result.__module__]
    whole = {name for declared in COMMANDS.values() for name in str(returns(declared)).split(" | ")}
    assert whole <= {kind.__name__ for kind in kinds}
    assert all("summary" in vars(kind) for kind in kinds if kind.__name__ in whole)


def returns(declared: Command) -> object:
    return inspect.signature(declared.function).return_annotation


def all_kinds_of_results() -> list[type[Result]]:
    found, waiting = [], [Result]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_no_parameter_of_the_command_layer_may_be_anything() -> None:
    paths = [*PACKAGE.glob("commands/**/*.py"), *PACKAGE.glob("cli/**/*.py")]
    trees = {path.name: ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    parameters = [(name, node) for name, tree in trees.items() for node in tree if isinstance(node, ast.arg)]
    assert len(parameters) > 100
    loose = [
        f"{name}: {p.arg}" for name, p in parameters if p.annotation and ast.unparse(p.annotation) == "Any"
    ]
    assert loose == []


# From an annotation to Click


def sample(  # noqa: PLR0913  one option of each kind
    model: Annotated[AnyPath | None, Argument()] = None,
    *,
    data: Annotated[AnyPath, Option("Images.", metavar="NAME|PATH")],
    count: Annotated[int, Option("How many.", at_least=1)] = 3,
    rate: Annotated[float | None, Option("How fast.", at_least=0, above=True)] = None,
    mean: Annotated[tuple[float, ...] | None, Option("Of RGB.")] = None,
    kind: Annotated[Literal["a", "b"], Option("Which.")] = "a",
    fast: Annotated[bool, Option("Hurry.")] = False,
    timing: Annotated[bool, Option("Time it.")] = True,
    names: Annotated[Sequence[str], Option("Names.", separated=True)] = (),
    output: Annotated[AnyPath | None, Option("File.", flags=("-o", "--output"))] = None,
) -> Result:
    """Do something."""
    return Result()


def text_by_position(name: Annotated[str, Argument()] = "") -> Result:
    """Do something with text."""
    return Result()


def path_that_must_be_given(model: Annotated[AnyPath, Argument()]) -> Result:
    """Do something with a path."""
    return Result()


@pytest.mark.parametrize("function", [text_by_position, path_that_must_be_given])
def test_an_argument_is_a_path_that_may_be_left_out(function: Callable[..., Result]) -> None:
    """The command line would hand over a path, or None, for the text that Python is promised."""
    with pytest.raises(
        TypeError, match="is no path that may be left out, as an Argument is: make it an Option"
    ):
        Command(function, "sample").parameters()


@pytest.fixture
def command() -> click.Command:
    return NumbersCommand("sample", params=[to_click(p) for p in Command(sample, "sample").parameters()])


def parsed(command: click.Command, *arguments: str) -> dict[str, object]:
    with command.make_context("sample", list(arguments)) as context:
        return context.params


def test_values_come_in_the_types_of_python(command: click.Command) -> None:
    given = "m.onnx --data demo --count 5 --rate 0.5 --mean 1 2 3 --kind b --fast --no-timing --names x,y"
    assert parsed(command, *given.split(), "--names", "z", "-o", "out") == {
        "model": Path("m.onnx"),
        "data": "demo",
        "count": 5,
        "rate": 0.5,
        "mean": (1.0, 2.0, 3.0),
        "kind": "b",
        "fast": True,
        "timing": False,
        "names": ("x", "y", "z"),
        "output": Path("out"),
    }


def test_what_is_not_given_has_the_default_of_python(command: click.Command) -> None:
    found = parsed(command, "--data", "demo")
    expected = {name: p.default for name, p in inspect.signature(sample).parameters.items()}
    assert found == {**expected, "data": "demo"}


@pytest.mark.parametrize(
    "wrong", ["", "--data x --count 0", "--data x --rate 0", "--data x --rate nan", "--data x --kind c"]
)
def test_values_out_of_bounds_are_refused(command: click.Command, wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(command, *wrong.split())


def all_of_them(
    model: Annotated[AnyPath | None, Argument()] = None,
    pictures: Annotated[AnyPath | Sequence[AnyPath], Argument("PICTURE")] = (),
) -> Result:
    """Do something."""
    return Result()


def test_an_argument_that_may_be_a_sequence_takes_all_that_are_left() -> None:
    parameters = Command(all_of_them, "all_of_them").parameters()
    command = click.Command("all-of-them", params=[to_click(p) for p in parameters])
    assert parsed(command, "a", "b", "c") == {"model": Path("a"), "pictures": (Path("b"), Path("c"))}
    assert parsed(command) == {"model": None, "pictures": ()}
    assert command.collect_usage_pieces(command.make_context("all-of-them", [])) == [
        "[OPTIONS]",
        "[MODEL]",
        "[PICTURE]...",
    ]
    with pytest.raises(click.UsageError, match="it is empty"):
        parsed(command, "a", "")


def test_a_parameter_that_says_nothing_of_itself_is_a_fault() -> None:
    def vague(count: int = 1) -> Result:
        return Result()

    with pytest.raises(TypeError, match="parameter count has neither"):
        Command(vague, "vague").parameters()


def test_an_option_of_earlier_versions_is_still_taken() -> None:
    arguments = ["--train", "x", "--checkpoint-every", "7"]
    parent = main.make_context("convnext-edge", ["finetune", *arguments])
    with parent, main.commands["finetune"].make_context("finetune", arguments, parent=parent) as context:
        assert context.params["save_every"] == 7


@pytest.mark.parametrize("name", NAMES)
def test_pythons_help_has_plain_types_and_what_each_option_means(name: str) -> None:
    shown = pydoc.render_doc(getattr(convnext_edge, name), renderer=pydoc.plaintext)
    assert "Option(" not in shown
    assert "Annotated" not in shown
    for parameter in COMMANDS[name].parameters():
        if isinstance(parameter.meaning, Option):
            assert f"{parameter.name}: {parameter.meaning.help}" in shown


def test_all_that_a_star_imports_is_the_functions_and_the_version() -> None:
    taken: dict[str, object] = {}
    exec("from convnext_edge import *", taken)
    assert taken.keys() - {"__builtins__"} == {*COMMANDS, "build_script", "__version__"}


def test_a_shell_completes_the_names_of_variants() -> None:
    variant = next(parameter for parameter in main.commands["export"].params if parameter.name == "variant")
    # without a parent, Click would keep a help option for later tests that has no -h
    parent = main.make_context("convnext-edge", ["export"], resilient_parsing=True)
    command = main.commands["export"]
    with parent, command.make_context("export", [], parent=parent, resilient_parsing=True) as context:
        offered = [item.value for item in variant.shell_complete(context, "tiny")]
    assert {"tiny", "tiny_hnf", "tiny.dinov3_lvd1689m"} <= set(offered)
    assert all(name.startswith("tiny") for name in offered)
