"""How a command is declared: a typed function whose annotations say what its options mean.

    @command(example="convnext-edge validate --data imagenet_val")
    def validate(
        model: Model = None,
        *,
        data: Annotated[AnyPath, Option("Images to compare on.")],
    ) -> Validate: ...

The function is part of the library as it stands. The command line makes its options from the signature:
names, defaults and types are Python's, and only what Python does not know (help, bounds, short names) is in
`Option`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, get_args, get_type_hints

from convnext_edge.artifacts.locks import reading
from convnext_edge.artifacts.provenance import called
from convnext_edge.commands.border import guard, takes_path
from convnext_edge.commands.checking import checked
from convnext_edge.commands.result import Result
from convnext_edge.commands.typed import typed

P = ParamSpec("P")
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Option:
    """What the command line says of an option beside its name, type and default."""

    help: str  # a sentence or a phrase, with the unit
    metavar: str | None = None  # what stands for the value in the help, as POINTS
    flags: tuple[str, ...] = ()  # where they are not the parameter's name, as ("-o", "--output")
    choices: tuple[str, ...] = ()  # of a `str`; a Literal names its own
    at_least: float | None = None  # smallest value
    at_most: float | None = None  # largest value
    above: bool = False  # whether `at_least` itself is too small
    folder: bool = False  # of a path: a file is refused
    separated: bool = False  # of a repeatable option: takes several names separated by commas, too
    hide_default: bool = False  # where the help tells the default in words
    completions: Callable[[], Iterable[str]] | None = (
        None  # names that a shell offers, of a path beside files
    )
    formerly: tuple[str, ...] = ()  # names of earlier versions, without dashes, which are still taken


@dataclass(frozen=True)
class Argument:
    """Marks a path that the command line takes by its position, and that may be left out.

    Of a sequence, it takes all that are left. Text and numbers are options.
    """

    metavar: str | None = None  # what stands for it in the help, as PICTURE; its name where None

    completions: Callable[[], Iterable[str]] | None = None  # names that a shell offers beside files


@dataclass(frozen=True)
class Parameter:
    """One parameter of a command, as its signature declares it."""

    name: str
    annotation: object  # its type, without `Annotated`
    default: object  # `inspect.Parameter.empty` where it is required
    meaning: Option | Argument

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty

    @property
    def typed(self) -> str:
        """What a user types before a value: `-o`, `--data`; of an argument, its name as the help has it."""
        if isinstance(self.meaning, Argument):
            return self.meaning.metavar or self.name.upper()
        return next(iter(self.meaning.flags), f"--{self.name.replace('_', '-')}")


@dataclass(frozen=True)
class Command:
    """A function of the library that is a command as well."""

    function: Callable[..., Result]
    example: str  # a call that the help ends with

    @property
    def name(self) -> str:
        """What a user types."""
        return self.function.__name__

    @property
    def purpose(self) -> str:
        """The first line of the docstring."""
        return (self.function.__doc__ or "").splitlines()[0]

    def parameters(self) -> list[Parameter]:
        """Return the parameters in the order of the signature; raise TypeError for one without annotation."""
        hints = get_type_hints(self.function, include_extras=True)
        signature = inspect.signature(self.function)
        return [_parameter(name, hints[name], p.default) for name, p in signature.parameters.items()]

    def command_line(self, given: Mapping[str, object]) -> str:
        """Return the command as a person types it. given: values by the names of parameters."""
        return typed(self.name, self.parameters(), given)


COMMANDS: dict[str, Command] = {}
"""All commands by name. Importing the module of a command puts it here."""


def command(*, example: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare the decorated function as a command, and make it `public`.

    example: a call that the help ends with.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        offered = remembered(public(function))
        declared = COMMANDS[function.__name__] = Command(offered, example)
        document(declared)
        return offered

    return register


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Let what a function writes tell the command that does the same, whoever calls it."""
    parameters = Command(function, example="").parameters()
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        def write() -> str:
            given = signature.bind_partial(*args, **kwargs).arguments
            return typed(function.__name__, parameters, given)

        with called(write):
            return function(*args, **kwargs)

    return run


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function be called by anybody: values and paths are checked, and errors are made for people.

    What it opens stays as it is until it is loaded.
    """
    parameters = Command(function, example="").parameters()
    strict = checked(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with reading():
            return strict(*args, **kwargs)

    return guard(run, {p.name: p.typed for p in parameters if takes_path(p.annotation)})


def document(declared: Command) -> None:
    """Let Python's `help` show the types of the parameters, and what `Option` says of each."""
    function, parameters = declared.function, declared.parameters()
    signature = inspect.signature(function)
    plain = [signature.parameters[p.name].replace(annotation=p.annotation) for p in parameters]
    function.__signature__ = signature.replace(parameters=plain)  # type: ignore[attr-defined]
    told = [f"    {p.name}: {p.meaning.help}" for p in parameters if isinstance(p.meaning, Option)]
    function.__doc__ = "\n".join(
        [inspect.getdoc(function) or "", "", "Parameters, as the command line has them:", *told]
    )


def _parameter(name: str, hint: object, default: object) -> Parameter:
    kind, *extras = get_args(hint) or (hint,)  # of Annotated[int, Option(...)]: int, and the Option
    for extra in extras:
        if isinstance(extra, Argument) and (not takes_path(kind) or default is inspect.Parameter.empty):
            raise TypeError(
                f"parameter {name} is no path that may be left out, as an Argument is: make it an Option"
            )
        if isinstance(extra, Option | Argument):
            return Parameter(name, kind, default, extra)
    raise TypeError(f"parameter {name} has neither an Option nor an Argument in its annotation")
