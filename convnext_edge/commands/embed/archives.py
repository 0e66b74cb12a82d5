"""What the build of embedded C++ downloads: the archives that its CMake files pin, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convnext_edge.cpu import Machine
from convnext_edge.reading import Count, Line, Sha256, Shape, Version, read_json

PINS = Path(__file__).parents[2] / "embed_sources" / "cpp" / "cmake" / "archives.json"


class ArchiveShape(Shape):
    """What is known of an archive."""

    file: Line
    urls: list[Line]
    sha256: Sha256
    bytes: Count
    glibc: Version | None = None  # the oldest GNU C library that its programs run with


class PinShape(Shape):
    """What is known of what is downloaded: an archive for each kind of machine, or for `any`."""

    name: Line
    version: Version
    archives: dict[str, ArchiveShape]


class PinsShape(Shape):
    """What is read of the file with all pins."""

    openvino: PinShape
    onnxruntime: PinShape
    onnxruntime_headers: PinShape
    stb: PinShape


@dataclass(frozen=True)
class Pin:
    """The version of a runtime that is downloaded where none is found."""

    name: str  # for people
    version: str
    bytes: dict[str, int]  # of the archive for each kind of machine
    glibc: dict[str, str]  # the oldest GNU C library that it runs with, likewise

    def reads(self, version: str) -> bool:
        """Return whether it reads an engine that this version built: its own, or one before."""
        try:
            return numbers(version) <= numbers(self.version)
        except ValueError:
            return False

    def size(self, machine: Machine) -> str:
        """Return how much is downloaded, in words."""
        return f"{self.bytes[machine] / 1e6:.0f} MB"


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version as 2026.4.1; raise ValueError for a text without them."""
    return tuple(int(part) for part in version.partition("-")[0].partition("+")[0].split("."))


@cache
def read_pins() -> dict[str, Pin]:
    """Return the pins of the runtimes, by the names that manifests have for them."""
    found = read_json(PINS, PinsShape, hint="Install convnext-edge again.")
    return {
        runtime: Pin(
            pin["name"],
            pin["version"],
            {machine: archive["bytes"] for machine, archive in pin["archives"].items()},
            {machine: archive["glibc"] for machine, archive in pin["archives"].items()},
        )
        for runtime, pin in found.items()
        if runtime in ("openvino", "onnxruntime")
    }
