"""Pictures composed of small ones, pasted on textured backgrounds: where each object lies is known."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.support.pictures import load

MOST = 3  # pasted pictures
OCTAVES = (2, 4, 8, 16, 32)  # edges of the noise that a background is a sum of
QUALITY = 95  # of the JPEG files
POWERS = (1.0, 2.0, 4.0, np.inf)  # of the norm whose ball is cut out: diamond, disc, rounded square, square

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """What pictures are composed to, in pixels."""

    edge: int  # of the picture
    smallest: int  # edge of what is pasted
    largest: int


@dataclass(frozen=True)
class Composed:
    """A picture, and what was pasted into it."""

    pixels: Pixels  # (edge, edge, 3)
    numbers: Pixels  # (edge, edge): which object each pixel is of, the first is 1; 0 for the background
    labels: tuple[int, ...]  # of the objects, from 0
    pasted: tuple[int, ...]  # pixels of each object, seen or not


class Composer:
    """Makes pictures with objects, the same ones for the same seed."""

    def __init__(self, pictures: Pixels, labels: NDArray[np.int64], canvas: Canvas, seed: int) -> None:
        """Take what is pasted: pictures (N, 32, 32, 3) and their classes (N,), from 0."""
        self.pictures, self.labels, self.canvas = pictures, labels, canvas
        self.random = np.random.default_rng(seed)

    def compose(self) -> Composed:
        """Return the next picture."""
        pixels = self._background()
        numbers = np.zeros(pixels.shape[:2], np.uint8)
        count = self.random.integers(1, MOST + 1)
        chosen, areas = zip(*(self._paste(pixels, numbers, n) for n in range(1, count + 1)), strict=True)
        return Composed(pixels, numbers, tuple(int(self.labels[number]) for number in chosen), areas)

    def _paste(self, picture: Pixels, numbers: Pixels, number: int) -> tuple[int, int]:
        """Paste a picture as the object of that number; return which one it is, and its pixels."""
        edge = self.canvas.edge
        chosen = int(self.random.integers(len(self.pictures)))
        size = int(self.random.integers(self.canvas.smallest, self.canvas.largest + 1))
        pasted = Image.fromarray(self.pictures[chosen]).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(pasted)[:, :: self.random.choice((1, -1))]
        top, left = self.random.integers(-size // 4, edge - 3 * size // 4, 2)
        inside = cut(size, self.random.choice(POWERS))
        rows, columns = (np.arange(size) + start for start in (top, left))
        within = ((rows >= 0) & (rows < edge))[:, None] & ((columns >= 0) & (columns < edge))[None]
        i, j = np.nonzero(inside & within)
        picture[rows[i], columns[j]] = pixels[i, j]
        numbers[rows[i], columns[j]] = number
        return chosen, int(inside.sum())

    def _background(self) -> Pixels:
        edge = self.canvas.edge
        total = np.zeros((edge, edge, 3))
        for coarse in OCTAVES:
            noise = self.random.integers(0, 256, (coarse, coarse, 3), np.uint8)
            scaled = Image.fromarray(noise).resize((edge, edge), Image.Resampling.BICUBIC)
            total += self.random.uniform(0, 1) * np.asarray(scaled, float)
        total = (total - total.mean()) / (total.std() + 1e-6) * self.random.uniform(10, 50)
        pixels: Pixels = (total + self.random.uniform(60, 200, 3)).clip(0, 255).astype(np.uint8)
        return pixels


def cut(size: int, power: float) -> NDArray[np.bool_]:
    """Return which pixels of a square are in the ball of a norm, (size, size)."""
    away = np.abs((np.arange(size) + 0.5) / (size / 2) - 1)
    both = np.stack(np.meshgrid(away, away))
    distance = both.max(0) if np.isinf(power) else (both**power).sum(0) ** (1 / power)
    inside: NDArray[np.bool_] = distance <= 1
    return inside


def composer(archive: Path, canvas: Canvas, seed: int) -> Composer:
    """Return a composer of the pictures of one of CIFAR-10's archives."""
    made = load(archive)
    return Composer(made.images.permute(0, 2, 3, 1).numpy(), made.labels.numpy(), canvas, seed)


class Write(Protocol):
    """Writes so many pictures into an archive, and what tells their objects where asked for."""

    def __call__(self, archive: Path, made: Composer, count: int, *, labelled: bool) -> None: ...


def composing_command(text: str | None, canvas: Canvas, write: Write) -> click.Command:
    """Return the command with this help that writes what calibrates, and what is measured on."""

    @click.command(help=text)
    @click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
    @click.option("--out", type=click.Path(path_type=Path), required=True)
    @click.option("--calibration", default=128, show_default=True, help="Pictures that calibrate.")
    @click.option("--evaluation", default=200, show_default=True, help="Pictures that measure.")
    def main(data: Path, out: Path, calibration: int, evaluation: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        write(out / "calibration.zip", composer(data / "train.zip", canvas, 1), calibration, labelled=False)
        write(out / "evaluation.zip", composer(data / "test.zip", canvas, 2), evaluation, labelled=True)

    return main


def add_picture(file: zipfile.ZipFile, name: str, pixels: Pixels) -> None:
    """Add a picture to an archive, as JPEG or as PNG."""
    buffer = io.BytesIO()
    if name.endswith(".jpg"):
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    else:
        Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    add_bytes(file, name, buffer.getvalue())


def add_bytes(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file to an archive, with the same date whenever that is."""
    file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
