"""Pictures as people name them: files, folders, archives and images in memory, in the order asked for.

They need no labels and no classes; what a set for calibration or validation must be is in `opening`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from convnext_edge.errors import ImageSetError, UsageError, first_few
from convnext_edge.images.archives import MAX_MEMBER_BYTES
from convnext_edge.images.batches import LoadedImage, SkippedImage
from convnext_edge.images.contents import Entry, Storage
from convnext_edge.images.decoding import MODES, SUFFIXES, decode
from convnext_edge.images.definitions import ARCHIVE_SUFFIXES, PARQUET_SUFFIXES, definitions, locate
from convnext_edge.images.folders import MAX_DEPTH
from convnext_edge.images.label_maps import map_of
from convnext_edge.images.opening import open_storage
from convnext_edge.images.parquet import ParquetStorage
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess, whole_picture
from convnext_edge.progress import note

STANDARD_INPUT = "-"
ORIENTATION = 0x0112  # of EXIF: 1 is upright
KINDS_SHOWN = 5  # of files that are left out
Pixels = Image.Image | NDArray[np.uint8]  # an array is (H, W), or (H, W, channels)
Given = str | os.PathLike[str] | Pixels

_loading = threading.Lock()  # an image of Pillow's may be given twice, and loads its pixels at the first use


@dataclass(frozen=True)
class Picture:
    """One picture that somebody asked for, not read yet."""

    name: str  # as it was given; of a member of a folder or an archive, with the name of that before it
    read: Callable[[], bytes | Image.Image]  # raises ImageSetError where it cannot be read


@dataclass
class Loader:
    """Makes the input of a model of each picture, or takes it whole; remembers which are stored turned."""

    preprocessing: Preprocessing
    whole: bool = False  # whether pictures keep their own size
    turned: list[str] = field(default_factory=list)  # names; the EXIF orientation is not applied to these

    def load(self, picture: Picture) -> LoadedImage | SkippedImage:
        """Read, decode and transform one picture; return a `SkippedImage` where that fails."""
        try:
            content = picture.read()
            image = self._open(content)
            pixels = (whole_picture if self.whole else preprocess)(image, self.preprocessing)
        except ImageSetError as error:
            return SkippedImage(picture.name, error.message)
        if is_turned(image):
            self.turned.append(picture.name)
        return LoadedImage(Entry(picture.name), pixels, size=image.size)

    def _open(self, content: bytes | Image.Image) -> Image.Image:
        """Return the picture, upright where the model was trained so."""
        exif = self.preprocessing.exif
        if isinstance(content, bytes):
            return decode(content, len(self.preprocessing.mean), exif=exif)
        return ImageOps.exif_transpose(content) if exif else content


def find_pictures(given: Iterable[Given]) -> list[Picture]:
    """Return the pictures that paths and images in memory stand for, in order; none is decoded yet.

    A folder or archive stands for all pictures inside, sorted by name, a Parquet file for its rows. `-` is
    standard input, and the name of an image set stands for it where no file has that name. What cannot be
    opened is a picture that cannot be read. Raises UsageError for what can be no picture.
    """
    return [picture for place, item in enumerate(given) for picture in _expand(item, place)]


def names_pictures(path: Path) -> bool:
    """Return whether a path is of pictures, and so not of a model, by its name or as a folder."""
    name = path.name.lower()
    if name.endswith(".mlpackage.zip"):  # an engine of Core ML
        return False
    return str(path) == STANDARD_INPUT or name.endswith((*SUFFIXES, *ARCHIVE_SUFFIXES)) or _is_folder(path)


def is_turned(image: Image.Image) -> bool:
    """Return whether EXIF says that an image is to be shown turned or mirrored."""
    try:
        return bool(image.getexif().get(ORIENTATION, 1) != 1)
    except Exception:  # damaged EXIF; Pillow raises nearly any type, and programs show the image as it is
        return False


def _expand(item: Given, place: int) -> Iterator[Picture]:
    if not isinstance(item, str | os.PathLike):
        yield _in_memory(item, f"pictures[{place}]")
        return
    name = os.fspath(item)
    if not name:
        raise UsageError("a picture has an empty name", hint="Name a file or a folder.")
    if name == STANDARD_INPUT:
        yield _from_standard_input()
        return
    shown = _as_text(name)
    try:
        path = _located(name)
        storage = _opened(path, shown)
    except ImageSetError as error:
        yield Picture(shown, partial(_fail, error.message))
        return
    if storage is None:
        yield Picture(shown, partial(_read_file, path))
        return
    for member in storage.names if isinstance(storage, ParquetStorage) else _images(storage.names, shown):
        yield Picture(f"{shown.rstrip('/')}/{_as_text(member)}", partial(storage.read, member))


def _as_text(name: str) -> str:
    """Return a file's name as text that JSON can hold: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it may not be looked at, or its name is too long
        return False


def _located(name: str) -> Path:
    """Return the path of that name, or where the image set of that name is."""
    named = {} if "/" in name or os.path.lexists(name) else definitions()
    return locate(named[name], None, "evaluation") if name in named else Path(name)


def _opened(path: Path, shown: str) -> Storage | None:
    """Open a folder or an archive; return None for any other file. Raise ImageSetError for one without."""
    folder, name = _is_folder(path), path.name.lower()
    if name.endswith(PARQUET_SUFFIXES) and not folder:
        return ParquetStorage(path)
    if not (folder or name.endswith(ARCHIVE_SUFFIXES)):
        return None
    storage = open_storage(path)
    if not any(member.lower().endswith(SUFFIXES) for member in storage.names):
        inside = f"{len(storage.names)} files: {_kinds(storage.names)}" if storage.names else "it is empty"
        raise ImageSetError(f"it holds no pictures within {MAX_DEPTH} levels of folders ({inside})")
    return storage


def _images(names: Sequence[str], place: str) -> list[str]:
    """Return the names of pictures, and say which label maps and kinds of other files are left out."""
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    if left := len(names) - len(images):
        note(f"{place}: left out {left} of {len(names)} files, of other kinds ({_kinds(names)})")
    maps = set(images) & {map_of(name) for name in images}
    if maps:
        note(f"{place}: left out {len(maps)} label maps, as {min(maps)}")
    return [name for name in images if name not in maps]


def _kinds(names: Iterable[str]) -> str:
    """Return the suffixes of files that are no pictures, the most frequent first."""
    found = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    others = [_as_text(kind) for kind, _ in found.most_common() if kind not in SUFFIXES]
    return first_few(others, KINDS_SHOWN)


def _read_file(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ImageSetError("it is no regular file; a picture in a pipe is named -")
        with path.open("rb") as file:
            return _bounded(file.read(MAX_MEMBER_BYTES + 1))
    except FileNotFoundError as error:
        raise ImageSetError("there is no such file") from error
    except OSError as error:
        raise ImageSetError(error.strerror or str(error)) from error
    except ValueError as error:  # a NUL in its name
        raise ImageSetError(str(error)) from error


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_MEMBER_BYTES:
        raise ImageSetError(f"it has more than {MAX_MEMBER_BYTES:,} bytes")
    return content


def _from_standard_input() -> Picture:
    """Return the picture that is piped in; raise UsageError where a person would have to type it."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "- is a picture on standard input, and nothing is piped into it",
            hint="As in: curl URL | convnext-edge predict -",
        )
    content = sys.stdin.buffer.read(MAX_MEMBER_BYTES + 1)
    return Picture(STANDARD_INPUT, lambda: _bounded(content))


def _fail(reason: str) -> bytes:
    raise ImageSetError(reason)


def _in_memory(image: Pixels, name: str) -> Picture:
    made = image if isinstance(image, Image.Image) else _as_image(image, name)
    return Picture(name, partial(_loaded, made))


def _loaded(image: Image.Image) -> Image.Image:
    try:
        with _loading:
            image.load()
    except Exception as error:  # Pillow's decoders raise nearly any type on damaged data
        raise ImageSetError(f"it cannot be decoded: {str(error) or type(error).__name__}") from error
    return image


def _as_image(array: NDArray[np.uint8], name: str) -> Image.Image:
    """Return the image of an array; raise UsageError for one that is none."""
    shape = array.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in MODES)
    if array.dtype != np.uint8 or not fits or 0 in shape:
        raise UsageError(
            f"{name} is an array of shape {shape} and type {array.dtype}, which is no picture",
            hint="Give (H, W, 3) of type uint8, in RGB, or another number of channels; several as a list.",
        )
    gray = len(shape) == 3 and shape[2] == 1
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if gray else array))
