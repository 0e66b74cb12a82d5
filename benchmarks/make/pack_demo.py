"""Pack the demo's images: 256 training and 1,000 test images of CIFAR-10 (Krizhevsky, 2009).

    python -m benchmarks.make.pack_demo --data cifar10 --out calibration/demo

`--data` holds train.zip and test.zip with images in class folders. The archives come out the same, byte
for byte, from the same images.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import click

from convnext_edge.images.opening import open_image_set

SETS = {"calibration.zip": ("train.zip", 256), "evaluation.zip": ("test.zip", 1000)}
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip archive can hold


def pack(source: Path, count: int, out: Path) -> None:
    """Write a subset with equal shares of the classes, images as they are."""
    chosen = open_image_set(str(source)).subset(count, seed=0)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for entry in chosen.entries:
            packed.writestr(zipfile.ZipInfo(entry.name, EPOCH), chosen.contents.read(entry.name))


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, (source, count) in SETS.items():
        pack(data / source, count, out / name)


if __name__ == "__main__":
    main()
