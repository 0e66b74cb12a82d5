"""embed --lang ios: a Swift package: a library, a sample, the engine, and Python's results to test with."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.commands.embed.bundle import fill_readme, write_bundle
from convnext_edge.commands.embed.mobile import check_runtime, write_sample
from convnext_edge.images.transform import preprocess

SOURCES = Path(__file__).parents[2] / "embed_sources" / "ios"
BUILD = "swift build"
# Width and height: enlarged, shrunk rows first, shrunk columns first
CASES = ((7, 5), (301, 220), (90, 400))


def write_ios(engine: Artifact, labels: Path | None, folder: Path) -> str:
    """Fill the empty `folder`; returns the command that builds it there.

    Raises UsageError for an engine of another runtime, or labels that do not fit.
    """
    check_runtime(engine, "iOS")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_bundle(engine, labels, folder / "Sources" / "ConvNeXtEdge" / "model")
    write_sample(engine, folder / "Sources" / "ConvNeXtEdgeSample")
    (folder / "Tests" / "ConvNeXtEdgeTests" / "squares.bin").write_bytes(squares(engine))
    fill_readme(engine, folder, build=BUILD)
    return BUILD


def squares(engine: Artifact) -> bytes:
    """Noise and what Python makes of it: width and height (32 bits), RGB bytes, square, and so on."""
    made = b""
    for width, height in CASES:
        noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
        square = preprocess(Image.fromarray(noise), engine.description.preprocessing)
        made += struct.pack("<II", width, height) + noise.tobytes() + square.tobytes()
    return made
