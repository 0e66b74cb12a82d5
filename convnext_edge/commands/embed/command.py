"""The function, the options and the result of `embed`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.failed import failings
from convnext_edge.artifacts.store import write_folder
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Argument, Option, command
from convnext_edge.commands.embed.steps import Steps
from convnext_edge.commands.options import WorkspaceFolder
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import Commands, Sentence, lines, warned
from convnext_edge.cpu import Machine
from convnext_edge.errors import ArtifactError, UsageError, nearest
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.targets.registry import command_that_makes_one

if TYPE_CHECKING:
    from convnext_edge.targets.kernels import Kernels

Language = Literal["cpp", "web", "android", "ios", "triton", "ovms"]
SERVERS = ("triton", "ovms")  # whose folders are served, not built
LANGUAGES: tuple[Language, ...] = get_args(Language)
# Libraries that the applications run
RUNTIMES: dict[Language, tuple[str, ...]] = {
    "cpp": ("openvino", "onnxruntime", "executorch"),
    "web": ("onnxruntime",),
    "android": ("onnxruntime",),
    "ios": ("onnxruntime",),
    "triton": ("openvino", "onnxruntime", "tensorrt"),
    "ovms": ("openvino",),
}
PHONES = ("android", "ios")
Fill = Callable[[Artifact, Path | None, Path, "Kernels"], Steps]


@dataclass(frozen=True)
class Embed(Result):
    """The result of `embed`: a folder for an application."""

    directory: Path
    files: tuple[str, ...]  # relative to the folder
    build_command: str  # to run in the folder
    typed: str = ""  # the same from where `embed` ran; words in capitals are to be replaced
    try_command: str = ""  # what to run in the folder then, likewise; empty where another machine runs it
    needs: str = ""  # what must be done first, as a sentence
    page: Path | None = None  # what a browser opens; the command then is for other devices alone
    warnings: tuple[str, ...] = ()  # that its model did not pass, or answers otherwise there, as sentences
    machine: Machine | None = None  # that the folder is for; None for a page, and where it is not known
    int8_kernels: bool | None = None  # whether layers are multiplied in INT8 there; None: not known
    advice: str | None = None  # what to do where a quantized model is multiplied in float
    lang: str = ""  # as asked for
    unverified: str = ""  # what of the folder was not tried, as a sentence

    def summary(self) -> str:
        """Return what was written, and how it is built or opened."""
        opened = [] if self.page is None else [("open", self.page)]
        needed = [("first", Sentence(self.needs))] if self.needs else []
        return lines(
            ("wrote", self.directory),
            ("files", f"{len(self.files)}, README.md among them"),
            *opened,
            *needed,
            (self._use, Commands(self.typed or self.build_command)),
            *([("to try", Commands(self.try_command))] if self.try_command else []),
            *([("unverified", Sentence(self.unverified))] if self.unverified else []),
            *warned(self.warnings),
            *warned([self.advice] if self.advice else []),
        )

    @property
    def _use(self) -> str:
        if self.page is not None:
            return "for phones"
        return "to serve" if self.lang in SERVERS else "to build"


@command(example="convnext-edge embed --lang cpp -o my-app/classifier")
def embed(
    engine: Annotated[AnyPath | None, Argument()] = None,
    *,
    lang: Annotated[Language, Option("Language of the application, or its server.")],
    labels: Annotated[
        AnyPath | None, Option("Text with a label a line, or JSON.  [default: the model's own]")
    ] = None,
    runtime: Annotated[
        AnyPath | None,
        Option("web: folder of npm's onnxruntime-web.  [default: the nearest node_modules']", folder=True),
    ] = None,
    machine: Annotated[
        Machine | None,
        Option("cpp: machine that the folder is for.  [default: ENGINE's, or this one]", flags=("--for",)),
    ] = None,
    output: Annotated[
        AnyPath | None,
        Option(
            "Folder to write, new or empty.  [default: a name in the workspace]",
            flags=("-o", "--output"),
            folder=True,
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
) -> Embed:
    """Put ENGINE (default: the newest) into a folder for an application.

    The folder holds the engine and the library that shows it images; it may not exist yet or be
    empty, and comes whole or not at all. For another machine than this one, the printed command
    cross-compiles.
    Raises ArtifactError, UsageError.
    """
    from convnext_edge.commands.embed.bundle import check_images

    check_machine(lang, machine)
    fill = filler(lang, as_path(runtime))
    space = Workspace.at(workspace)
    chosen = find_engine(engine, space, lang)
    check_images(chosen, lang)
    folder = as_path(output) or space.folder / f"{chosen.path.name.split('.')[0]}-{lang}"
    kernels = kernels_for(lang, chosen, machine)
    steps = write_folder(folder, lambda made: fill(chosen, as_path(labels), made, kernels))
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return Embed(
        directory=folder,
        files=tuple(files),
        build_command=steps.command,
        typed=f"cd {shlex.quote(str(folder))} && {steps.shown or steps.command}",
        try_command=steps.tried,
        needs=steps.needs,
        page=folder / steps.page if steps.page else None,
        warnings=(*failings(chosen), *steps.warnings),
        machine=kernels.machine,
        int8_kernels=kernels.int8,
        advice=kernels.advice,
        lang=lang,
        unverified=steps.unverified,
    )


def check_machine(lang: str, machine: Machine | None) -> None:
    """Raise UsageError where a language leaves no choice of the machine, and another one is given."""
    if lang == "web" and machine:
        raise UsageError(
            "--for means nothing with --lang web: browsers run WebAssembly", hint="Leave it out."
        )
    if lang in PHONES and machine not in (None, "aarch64"):
        raise UsageError(
            f"--for {machine} means nothing with --lang {lang}: phones are aarch64", hint="Leave it out."
        )


def kernels_for(lang: str, engine: Artifact, machine: Machine | None) -> Kernels:
    """Return which kernels the engine gets where the folder is used."""
    from convnext_edge.targets.kernels import Kernels, kernels_of
    from convnext_edge.targets.registry import DEFAULT, find_target

    if lang == "web":
        return Kernels(None, None)
    target = find_target(engine.description.target or DEFAULT)
    return kernels_of(engine.description, target, "aarch64" if lang in PHONES else machine)


def filler(lang: str, runtime: Path | None) -> Fill:
    """Return the function that fills the folder.

    Raises UsageError for an unknown language, or for `runtime` where the language has no use for it.
    """
    if lang not in LANGUAGES:
        raise UsageError(
            f"unknown language {lang!r}", hint=f"{nearest(lang, LANGUAGES)}Known: {', '.join(LANGUAGES)}."
        )
    if lang != "web" and runtime is not None:
        raise UsageError(f"--runtime means nothing with --lang {lang}", hint="Leave it out.")
    match lang:
        case "cpp":
            from convnext_edge.commands.embed.cpp import write_cpp as fill
        case "android":
            from convnext_edge.commands.embed.android import write_android as fill
        case "ios":
            from convnext_edge.commands.embed.ios import write_ios as fill
        case "triton":
            from convnext_edge.commands.embed.triton import write_triton as fill
        case "ovms":
            from convnext_edge.commands.embed.ovms import write_ovms as fill
        case _:
            from convnext_edge.commands.embed.web import write_web

            return partial(write_web, package=runtime)
    return fill


def find_engine(path: AnyPath | None, workspace: Workspace, lang: Language) -> Artifact:
    """Return the named engine, or else the newest one that an application in that language runs.

    Raises ArtifactError where there is none, or where `path` is not an engine.
    """
    from convnext_edge.commands.embed.bundle import runtime_of

    def fits(found: Description) -> bool:
        # browsers and servers take no .ort
        runs = found.target if lang in ("web", *SERVERS) else runtime_of(found)
        return found.kind == "engine" and runs in RUNTIMES[lang]

    found = workspace.choose(
        path,
        fits,
        what=f"engine for --lang {lang}",
        command=f"{command_that_makes_one(RUNTIMES[lang][0])}, then convnext-edge build",
    )
    if found.description.kind != "engine":
        raise ArtifactError(f"{path} is no engine", hint=f"Make one: convnext-edge build {path}")
    return found
