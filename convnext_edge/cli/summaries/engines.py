"""Summaries of build and embed."""

from __future__ import annotations

from convnext_edge.cli.summaries.base import summary
from convnext_edge.cli.text import MIB, fold, lines
from convnext_edge.results import Build, BuildScript, Embed


@summary.register
def _(result: Build) -> str:
    written = lines(
        ("wrote", result.engine),
        *(("beside it", name) for name in result.files if name != result.engine.name),
        ("runtime", f"{result.runtime} {result.runtime_version}"),
        ("size", f"{result.bytes / MIB:.1f} MiB in {result.seconds:.1f} s"),
    )
    return "\n".join([written, *map(fold, result.notes)])


@summary.register
def _(result: BuildScript) -> str:
    return lines(
        ("wrote", result.directory), ("files", " ".join(result.files)), ("run there", result.build_command)
    )


@summary.register
def _(result: Embed) -> str:
    return lines(
        ("wrote", result.directory),
        ("files", f"{len(result.files)}, README.md among them"),
        ("run there", result.build_command),
    )
