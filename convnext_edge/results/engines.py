"""Results of the commands that carry a model to a device: build, build --emit-script, embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convnext_edge.results.base import Result


@dataclass(frozen=True)
class Build(Result):
    """bytes: of all files. files: the engine's name and those of its companions. notes: what the target has
    to say of the engine, as what about it is unverified.
    """

    engine: Path
    target: str
    bytes: int
    runtime: str
    runtime_version: str
    seconds: float
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildScript(Result):
    """A folder that builds an engine on another machine. build_command: to run there, in the folder."""

    directory: Path
    files: tuple[str, ...]
    build_command: str


@dataclass(frozen=True)
class Embed(Result):
    """A folder for an application. files: below it. build_command: to run in the folder."""

    directory: Path
    files: tuple[str, ...]
    build_command: str
