"""A folder that builds engines with `trtexec` alone, for devices where Python is unwelcome (Jetson)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.digests import sha256
from convnext_edge.onnx_graph.files import save
from convnext_edge.targets.tensorrt.parts import WHOLE, Part

ENGINE, SCRIPT, README, SUMS = f"{WHOLE}.engine", "build.sh", "README.md", "SHA256SUMS"
UNFINISHED = ".unfinished"  # behind the names of engines until all are there
ENDING = (1, 2, 15)  # signals: HUP, INT, TERM


@dataclass(frozen=True)
class Script:
    """A folder with a script that builds the engines of one model, and all that the script needs."""

    title: str  # what the model is called, as "tiny"
    precision: str  # of the engines, as "int8"
    parts: tuple[Part, ...]  # an engine each
    between: str = ""  # what is to be computed between the parts, as paragraphs; empty where there is one
    timing_cache: str = "timing.cache"  # name of the file with kernel timings

    def command(self, part: Part) -> list[str]:
        """Return the call of trtexec, with paths relative to the folder; it suits TensorRT 10.8 to 11."""
        counts = {
            which: {name: getattr(found, of) for name, found in part.ranges.items()}
            for which, of in (("min", "least"), ("opt", "usual"), ("max", "most"))
        }
        return [
            "trtexec",
            f"--onnx={part.name}.onnx",
            f"--saveEngine={part.name}.engine{UNFINISHED}",
            # TensorRT 11 does so anyway, and still takes the option
            # https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/api/migration/tensorrt-10x-to-11x-trtexec.html
            "--stronglyTyped",
            "--noTF32",  # FP32 is to mean FP32
            *(f"--{which}Shapes={shapes_of(part, found)}" for which, found in counts.items()),
            f"--timingCacheFile={self.timing_cache}",
            "--profilingVerbosity=detailed",
            "--skipInference",
        ]

    def write(self, folder: Path) -> None:
        """Fill an existing folder; checksums of all other files go last."""
        for part in self.parts:
            save(part.graph, folder / f"{part.name}.onnx")
        script = folder / SCRIPT
        script.write_text(self._script(), encoding="utf-8")
        script.chmod(0o755)
        (folder / README).write_text(self._readme(), encoding="utf-8")
        files = sorted(file for file in folder.iterdir() if file.name != SUMS)
        sums = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
        (folder / SUMS).write_text(sums, encoding="utf-8")

    @property
    def engines(self) -> list[str]:
        """The names of the files that the script writes."""
        return [f"{part.name}.engine" for part in self.parts]

    def _script(self) -> str:
        calls = [" \\\n    ".join(shlex.quote(word) for word in self.command(part)) for part in self.parts]
        unfinished = " ".join(f"{engine}{UNFINISHED}" for engine in self.engines)
        return (
            "#!/bin/sh\n"
            f"# Builds {' and '.join(self.engines)} for the GPU of this machine.\n"
            "set -eu\n"
            'cd -- "$(dirname -- "$(readlink -f -- "$0")")"\n'
            f"sha256sum --check --quiet {SUMS}\n"
            "# JetPack has trtexec here, and not on the PATH\n"
            'PATH="$PATH:/usr/src/tensorrt/bin"\n'
            "if ! command -v trtexec >/dev/null; then\n"
            "    echo 'trtexec is not on the PATH: it comes with TensorRT, not with its Python wheels' >&2\n"
            "    exit 1\n"
            "fi\n"
            "# Whatever stops this, engines of an earlier build stay as they are\n"
            f"trap 'rm -f {unfinished}' EXIT\n"
            + "".join(f"trap 'exit {128 + number}' {number}\n" for number in ENDING)
            + "".join(f'{call} "$@"\n' for call in calls)
            + "".join(f"mv {engine}{UNFINISHED} {engine}\n" for engine in self.engines)
        )

    def _readme(self) -> str:
        files = " and ".join(f"`{engine}`" for engine in self.engines)
        runs = "which runs" if len(self.parts) == 1 else "which run"
        graphs = " and ".join(f"`{part.name}.onnx`" for part in self.parts)
        return (
            f"# {self.title}, {self.precision}, for TensorRT\n\n"
            f"On the device, with TensorRT 10.8 or later:\n\n    ./{SCRIPT}\n\n"
            f"checks the files against `{SUMS}` and writes {files}, {runs} on that GPU and"
            " that version of TensorRT only. Further options of trtexec may follow, as `--verbose`.\n\n"
            + "\n".join(told(part) for part in self.parts)
            + f"The precision of every layer is in {graphs}:"
            " no calibration and no precision flag is wanted.\n"
            + (f"\n{self.between}" if self.between else "")
        )


def shapes_of(part: Part, counts: Mapping[str, int]) -> str:
    """Return the shapes of a part's inputs as trtexec takes them."""
    return ",".join(
        f"{name}:{'x'.join(map(str, (counts[name], *shape)))}" for name, shape in part.shapes.items()
    )


def told(part: Part) -> str:
    """Return what the README says of a part."""
    usual = {name: found.usual for name, found in part.ranges.items()}
    timing = f"Time it: `trtexec --loadEngine={part.name}.engine --shapes={shapes_of(part, usual)}`\n\n"
    inputs = "".join(
        f"Input `{name}`: (N, {', '.join(map(str, shape))}), N from {part.ranges[name].least} to"
        f" {part.ranges[name].most}.\n"
        for name, shape in part.shapes.items()
    )
    return f"{timing}{inputs}Outputs, FP32, N first: {', '.join(f'`{name}`' for name in part.outputs)}.\n"
