"""embed: put an engine into a folder that an application can take as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact, write_folder
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.embed.android import write_android
from convnext_edge.commands.embed.cpp import write_cpp
from convnext_edge.commands.embed.ios import write_ios
from convnext_edge.commands.embed.web import write_web
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note
from convnext_edge.results import Embed

Write = Callable[[Artifact, Path | None, Path], str]
LANGUAGES: dict[str, Write] = {
    "cpp": write_cpp,
    "web": write_web,
    "android": write_android,
    "ios": write_ios,
}


def embed(
    engine: AnyPath | None = None,
    *,
    lang: str,
    labels: AnyPath | None = None,
    runtime: AnyPath | None = None,
    output: AnyPath | None = None,
    workspace: AnyPath | None = None,
) -> Embed:
    """Write a folder with an engine and the library that classifies images with it.

    engine: what build wrote, by default the newest. labels: a text with one label a line, where the model
    has no names of its own. runtime: for the web, the folder of npm's onnxruntime-web, by default that of
    the nearest node_modules. output: the folder, which may not exist yet or be empty; it comes whole or
    not at all.
    Raises ArtifactError, UsageError.
    """
    engine, labels, runtime, output = as_path(engine), as_path(labels), as_path(runtime), as_path(output)
    write = writer(lang, runtime)
    place = Workspace.at(workspace)
    chosen = find_engine(engine, place)
    folder = output or place.folder / f"{chosen.path.name.split('.')[0]}-{lang}"
    command = write_folder(folder, lambda made: write(chosen, labels, made))
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return Embed(directory=folder, files=tuple(files), build_command=command)


def writer(lang: str, runtime: Path | None) -> Write:
    """What fills the folder; raises UsageError for an unknown language, or an option it has no use for."""
    if lang not in LANGUAGES:
        raise UsageError(f"unknown language {lang!r}", hint=f"Known: {', '.join(LANGUAGES)}.")
    if lang == "web":
        return partial(write_web, package=runtime)
    if runtime is not None:
        raise UsageError(f"--runtime means nothing with --lang {lang}", hint="Leave it out.")
    return LANGUAGES[lang]


def find_engine(path: Path | None, workspace: Workspace) -> Artifact:
    """The named engine, or the newest of the workspace; raises ArtifactError for what is none."""
    if path is None:
        newest = workspace.newest(
            lambda found: found.kind == "engine", what="engine", command="convnext-edge build"
        )
        note(f"taking {newest.path}, the newest engine of the workspace")
        return newest
    named = open_artifact(path)
    if named.description.kind != "engine":
        raise ArtifactError(f"{path} is no engine", hint=f"Make one: convnext-edge build {path}")
    return named
