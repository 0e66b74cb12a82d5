"""A folder that builds an engine with `trtexec` alone, for devices where Python is unwelcome (Jetson)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from convnext_edge.artifacts.digests import sha256
from convnext_edge.onnx_graph.files import save
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.targets.tensorrt.builder import OPTIMAL_BATCH

MODEL, ENGINE, SCRIPT, README, SUMS = "model.onnx", "model.engine", "build.sh", "README.md", "SHA256SUMS"


@dataclass(frozen=True)
class Script:
    """A folder with a script that builds one engine, and all that the script needs."""

    title: str  # what the model is called, as "tiny"
    precision: str  # of the engine, as "int8"
    image: tuple[int, int, int]  # channels, H, W
    outputs: tuple[str, ...]  # their names
    max_batch: int  # the most images in a call
    timing_cache: str = "timing.cache"  # name of the file with kernel timings

    @property
    def command(self) -> list[str]:
        """Return the call of trtexec, with paths relative to the folder; it suits TensorRT 10.8 to 11."""
        shapes = {"min": 1, "opt": min(OPTIMAL_BATCH, self.max_batch), "max": self.max_batch}
        size = "x".join(map(str, self.image))
        return [
            "trtexec",
            f"--onnx={MODEL}",
            f"--saveEngine={ENGINE}",
            # TensorRT 11 does so anyway, and still takes the option
            # https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/api/migration/tensorrt-10x-to-11x-trtexec.html
            "--stronglyTyped",
            "--noTF32",  # FP32 is to mean FP32
            *(f"--{which}Shapes={INPUT}:{batch}x{size}" for which, batch in shapes.items()),
            f"--timingCacheFile={self.timing_cache}",
            "--profilingVerbosity=detailed",
            "--skipInference",
        ]

    def write(self, folder: Path, graph: ModelProto) -> None:
        """Fill an existing folder; checksums of all other files go last."""
        save(graph, folder / MODEL)
        script = folder / SCRIPT
        script.write_text(self._script(), encoding="utf-8")
        script.chmod(0o755)
        (folder / README).write_text(self._readme(), encoding="utf-8")
        files = sorted(file for file in folder.iterdir() if file.name != SUMS)
        sums = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
        (folder / SUMS).write_text(sums, encoding="utf-8")

    def _script(self) -> str:
        call = " \\\n    ".join(shlex.quote(word) for word in self.command)
        return (
            "#!/bin/sh\n"
            f"# Builds {ENGINE} for the GPU of this machine.\n"
            "set -eu\n"
            'cd "$(dirname "$0")"\n'
            f"sha256sum --check --quiet {SUMS}\n"
            "# JetPack has trtexec here, and not on the PATH\n"
            'PATH="$PATH:/usr/src/tensorrt/bin"\n'
            "if ! command -v trtexec >/dev/null; then\n"
            "    echo 'trtexec is not on the PATH: it comes with TensorRT, not with its Python wheels' >&2\n"
            "    exit 1\n"
            "fi\n"
            f'{call} "$@"\n'
        )

    def _readme(self) -> str:
        channels, height, width = self.image
        return (
            f"# {self.title}, {self.precision}, for TensorRT\n\n"
            f"On the device, with TensorRT 10.8 or later:\n\n    ./{SCRIPT}\n\n"
            f"checks the files against `{SUMS}` and writes `{ENGINE}`, which runs on that GPU and"
            " that version of TensorRT only. Further options of trtexec may follow, as `--verbose`.\n\n"
            f"Time it: `trtexec --loadEngine={ENGINE} --shapes={INPUT}:1x{channels}x{height}x{width}`\n\n"
            f"Input `{INPUT}`: (N, {channels}, {height}, {width}), N from 1 to {self.max_batch}."
            f" Outputs, FP32, N first: {', '.join(f'`{name}`' for name in self.outputs)}.\n"
            f"The precision of every layer is in `{MODEL}`: no calibration and no precision flag is wanted.\n"
        )
