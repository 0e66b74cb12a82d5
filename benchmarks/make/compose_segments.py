"""Compose pictures with label maps: pictures of CIFAR-10 (Krizhevsky, 2009) pasted on textured backgrounds.

    python -m benchmarks.make.compose_segments --data cifar10 --out calibration/demo_segment

Each picture is of 64 x 64 pixels and has one to three of CIFAR-10's, in sizes of 24 to 44 pixels and cut to
a disc, a diamond, a rounded square or a whole one, the last ones on top. A label map says 0 for the
background, 1 for an airplane and so on, in the order of CIFAR-10. What calibrates is composed of training
pictures, what is measured on of test pictures.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.support.pictures import load

EDGE = 64
SIZES = (24, 45)
MOST = 3  # pasted pictures
OCTAVES = (2, 4, 8, 16, 32)  # edges of the noise that a background is a sum of
QUALITY = 95  # of the JPEG files
POWERS = (1.0, 2.0, 4.0, np.inf)  # of the norm whose ball is cut out: diamond, disc, rounded square, square

Pixels = NDArray[np.uint8]


class Composer:
    """Makes pictures and label maps, the same ones for the same seed."""

    def __init__(self, pictures: Pixels, labels: NDArray[np.int64], seed: int) -> None:
        """Take what is pasted: pictures (N, 32, 32, 3) and their classes (N,), from 0."""
        self.pictures, self.labels = pictures, labels
        self.random = np.random.default_rng(seed)

    def compose(self) -> tuple[Pixels, Pixels]:
        """Return a picture (64, 64, 3) and its label map (64, 64)."""
        picture, classes = self._background(), np.zeros((EDGE, EDGE), np.uint8)
        for _ in range(self.random.integers(1, MOST + 1)):
            self._paste(picture, classes)
        return picture, classes

    def _paste(self, picture: Pixels, classes: Pixels) -> None:
        number, size = self.random.integers(len(self.pictures)), int(self.random.integers(*SIZES))
        pasted = Image.fromarray(self.pictures[number]).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(pasted)[:, :: self.random.choice((1, -1))]
        top, left = self.random.integers(-size // 4, EDGE - 3 * size // 4, 2)
        inside = cut(size, self.random.choice(POWERS))
        rows, columns = (np.arange(size) + start for start in (top, left))
        within = ((rows >= 0) & (rows < EDGE))[:, None] & ((columns >= 0) & (columns < EDGE))[None]
        i, j = np.nonzero(inside & within)
        picture[rows[i], columns[j]] = pixels[i, j]
        classes[rows[i], columns[j]] = 1 + self.labels[number]

    def _background(self) -> Pixels:
        total = np.zeros((EDGE, EDGE, 3))
        for edge in OCTAVES:
            noise = self.random.integers(0, 256, (edge, edge, 3), np.uint8)
            scaled = Image.fromarray(noise).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
            total += self.random.uniform(0, 1) * np.asarray(scaled, float)
        total = (total - total.mean()) / (total.std() + 1e-6) * self.random.uniform(10, 50)
        return (total + self.random.uniform(60, 200, 3)).clip(0, 255).astype(np.uint8)


def cut(size: int, power: float) -> NDArray[np.bool_]:
    """Return which pixels of a square are in the ball of a norm, (size, size)."""
    away = np.abs((np.arange(size) + 0.5) / (size / 2) - 1)
    both = np.stack(np.meshgrid(away, away))
    distance = both.max(0) if np.isinf(power) else (both**power).sum(0) ** (1 / power)
    return distance <= 1


def composer(archive: Path, seed: int, *, every: int = 1) -> Composer:
    """Return a composer of every so-many-th picture of one of CIFAR-10's archives."""
    made = load(archive)
    images, labels = made.images.permute(0, 2, 3, 1).numpy(), made.labels.numpy()
    return Composer(images[::every], labels[::every], seed)


def write(archive: Path, made: Composer, count: int, *, with_maps: bool) -> None:
    """Write so many pictures, and their label maps where asked for."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for number in range(count):
            picture, classes = made.compose()
            _add(file, f"images/{number:03}.jpg", picture, quality=QUALITY)
            if with_maps:
                _add(file, f"annotations/{number:03}.png", classes, optimize=True)


def _add(file: zipfile.ZipFile, name: str, pixels: Pixels, **options: object) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG" if name.endswith(".jpg") else "PNG", **options)
    file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), buffer.getvalue())


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--calibration", default=128, show_default=True, help="Pictures that calibrate.")
@click.option("--evaluation", default=200, show_default=True, help="Pictures that measure.")
def main(data: Path, out: Path, calibration: int, evaluation: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write(out / "calibration.zip", composer(data / "train.zip", 1), calibration, with_maps=False)
    write(out / "evaluation.zip", composer(data / "test.zip", 2), evaluation, with_maps=True)


if __name__ == "__main__":
    main()
