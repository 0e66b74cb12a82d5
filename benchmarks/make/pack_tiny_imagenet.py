"""Pack Tiny-ImageNet-200 (Stanford CS231n) as train.zip and test.zip with images in class folders.

    python -m benchmarks.make.pack_tiny_imagenet --data tiny-imagenet-200 --out tiny200

`--data` is the folder of the original archive, with train/, val/ and val/val_annotations.txt. Its validation
images become test.zip; its test images have no labels that are published. Images are for research alone: none
of them belongs into this repository.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import click


def train_files(data: Path) -> Iterable[tuple[str, Path]]:
    """Name in the archive, and path, of each training image."""
    for path in sorted(data.glob("train/*/images/*.JPEG")):
        yield f"{path.parent.parent.name}/{path.name}", path


def validation_files(data: Path) -> Iterable[tuple[str, Path]]:
    """Likewise of each validation image, whose class a table tells."""
    for line in sorted((data / "val/val_annotations.txt").read_text().splitlines()):
        name, synset, *_ = line.split("\t")
        yield f"{synset}/{name}", data / "val/images" / name


def pack(files: Iterable[tuple[str, Path]], archive: Path) -> int:
    """Write the archive, images as they are; return how many."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for name, path in files:
            packed.write(path, name)
        return len(packed.namelist())


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, files in (("train.zip", train_files(data)), ("test.zip", validation_files(data))):
        print(name, pack(files, out / name))


if __name__ == "__main__":
    main()
