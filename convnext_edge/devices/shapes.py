"""What the program on a device may answer, by type and range, as pydantic compares it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from convnext_edge.reading import Line, Sha256, Shape

Axis = Annotated[int, Field(ge=1, le=2**24)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]


class OutputShape(Shape):
    """Shape of what is said of an output."""

    name: Line
    shape: Annotated[list[Axis], Field(max_length=3)]  # for one image


class PassingShape(Shape):
    """Shape of the facts that change while a program runs."""

    governor: Line
    clock_mhz: Number | None
    max_clock_mhz: Number | None
    temperature_c: Number | None
    peak_rss_bytes: Number | None


class HelloShape(PassingShape):
    """Shape of the first frame."""

    protocol: Literal[1]
    engine: Line
    sha256: Sha256
    runtime: Line
    runtime_version: Line
    input_type: Literal["float32", "uint8"]
    input_shape: Annotated[list[Axis], Field(min_length=3, max_length=3)]
    outputs: Annotated[list[OutputShape], Field(min_length=1, max_length=16)]
    most_images: Axis  # of a frame
    threads: Axis
    cpus: Axis
    machine: Line
    kernel: Line
    libc: Line
    cpuinfo: str


class LayerShape(Shape):
    """Shape of what is said of a node."""

    name: Line
    kind: Line
    milliseconds: Milliseconds


class LayersShape(Shape):
    """Shape of what the program answers when nodes were timed."""

    layers: list[LayerShape]


class TimesShape(PassingShape):
    """Shape of what the program answers when calls were timed."""

    milliseconds: Annotated[list[Milliseconds], Field(min_length=1)]
    other_cpus: Number | None  # that others worked meanwhile
