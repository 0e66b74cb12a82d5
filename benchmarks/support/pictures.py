"""Small pictures to train with: read once, cropped, flipped, cut out and mixed a batch at a time."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from convnext_edge.images.preprocessing import Preprocessing

PAD = 4  # pixels of reflection around the image before a random crop


@dataclass(frozen=True)
class Pictures:
    """Images (N, 3, R, R) uint8 and labels (N,), classes in the order of their sorted names."""

    images: Tensor
    labels: Tensor

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self.labels)


def load(archive: Path, cache: Path | None = None) -> Pictures:
    """Decode a zip archive with class folders of images of one size; `cache` is a folder for the pixels."""
    kept = None if cache is None else cache / f"{archive.parent.name}-{archive.stem}.npz"
    if kept is None or not kept.exists():
        pixels, labels = decode(archive)
        if kept is None:
            return Pictures(torch.from_numpy(pixels), torch.from_numpy(labels))
        written = kept.with_suffix(".part.npz")
        np.savez(written, images=pixels, labels=labels)
        written.rename(kept)
    with np.load(kept) as arrays:
        return Pictures(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]))


def decode(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, R, R) uint8 and labels (N,) int64 of an archive."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(n for n in file.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")))
        blobs = [file.read(name) for name in names]
    classes = {name: index for index, name in enumerate(sorted({Path(name).parent.name for name in names}))}
    with ThreadPoolExecutor(2) as pool:
        pixels = np.stack(
            list(pool.map(lambda b: np.asarray(Image.open(io.BytesIO(b)).convert("RGB")), blobs))
        )
    labels = np.array([classes[Path(name).parent.name] for name in names])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels


@dataclass(frozen=True)
class Augmentation:
    """What a batch goes through before the model sees it. mean, std: of each channel, of values in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    cutout: int = 8  # edge in pixels of the square set to the mean; 0 for none
    mix: bool = False  # CutMix on half of the batches

    @classmethod
    def of(cls, preprocessing: Preprocessing, *, cutout: int = 8, mix: bool = False) -> Augmentation:
        return cls(preprocessing.mean, preprocessing.std, cutout, mix)

    def normalize(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) uint8 as the model takes it."""
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        scaled = (images.float() / 255 - mean) / std
        return scaled.contiguous(memory_format=torch.channels_last)

    def batch(self, pictures: Pictures, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Normalized images (N, 3, R, R) and targets (N, classes), probabilities."""
        images, labels = pictures.images[chosen], pictures.labels[chosen]
        targets = F.one_hot(labels, pictures.classes).float()
        x = self.normalize(crop_and_flip(images, generator))
        if self.cutout:
            x = cut_out(x, self.cutout, generator)
        return cutmix(x, targets, generator) if self.mix else (x, targets)


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random crop of each image (N, 3, R, R) with its edges reflected, half of them flipped."""
    count, edge = len(images), images.shape[-1]
    padded = F.pad(images.float(), (PAD,) * 4, mode="reflect")
    offset = torch.randint(0, 2 * PAD + 1, (2, count, 1), generator=generator)
    rows, columns = offset[0] + torch.arange(edge), offset[1] + torch.arange(edge)  # (N, R) each
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flip, columns.flip(1), columns)
    index = torch.arange(count).view(-1, 1, 1)
    x = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (N, R, R, 3)
    return x.permute(0, 3, 1, 2)


def cut_out(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A square of each image set to 0, which is the mean; part of it may lie outside."""
    edge = x.shape[-1]
    corner = torch.randint(-size // 2, edge - size // 2, (2, len(x), 1), generator=generator)
    inside = [(torch.arange(edge) >= c) & (torch.arange(edge) < c + size) for c in corner]
    return x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1), 0.0)


def cutmix(x: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al., 2019, arXiv:1905.04899) on half of the batches; targets are mixed by area.

    Takes and returns (N, 3, R, R) and (N, classes), probabilities.
    """
    if torch.rand((), generator=generator) < 0.5:
        return x, targets
    edge = x.shape[-1]
    order = torch.randperm(len(x), generator=generator)
    size = round(edge * float(torch.rand((), generator=generator)) ** 0.5)
    top, left = (int(v) for v in torch.randint(0, edge + 1 - size, (2,), generator=generator))
    x[:, :, top : top + size, left : left + size] = x[order, :, top : top + size, left : left + size]
    share = size**2 / edge**2
    return x, (1 - share) * targets + share * targets[order]
