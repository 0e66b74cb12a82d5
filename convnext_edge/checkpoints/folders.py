"""From what a user names to the files with the weights: a file, a folder of Hugging Face, or the hub.

model.safetensors, pytorch_model.bin               all weights in one file
model.safetensors.index.json, ....bin.index.json   the names of the files that hold a part each
config.json, preprocessor_config.json              what the tensors do not show
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.names import fault, quoted
from convnext_edge.errors import CheckpointError, UsageError
from convnext_edge.reading import Shape, read_json, shown

INDEX = ".index.json"
# In the order in which transformers takes them; the last two are OpenCLIP's.
KNOWN = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
CONFIGS = ("config.json", "preprocessor_config.json", "open_clip_config.json")
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".onnx")
# What transformers' and accelerate's training keeps beside the weights.
OF_TRAINING = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state|random_states|sampler)[\w.-]*")
MOST_PARTS = 200  # the largest ConvNeXt has one
HUB = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
HUB_FORM = "Write hf:ORGANIZATION/NAME, and with @REVISION a branch, tag or commit."
SHOWN = 5  # names in a message
DOWNLOAD_AGAIN = "Download it again, with all of its parts."


class IndexShape(Shape):
    """What is read of the index of a model in several files."""

    weight_map: dict[str, str]


@dataclass(frozen=True)
class Located:
    """The files of one checkpoint."""

    title: str  # what the user named, for messages
    paths: tuple[Path, ...]  # of one model; several hold a part each
    name: str  # of the model: names of files that are made from it begin with it
    folder: Path  # where configs may lie
    indexed: frozenset[str] | None = None  # names of the tensors, where an index tells them
    revision: str | None = None  # commit on the hub

    @property
    def file(self) -> Path:
        """The file with the weights, or with the first part of them."""
        return self.paths[0]


def check_there(given: Path) -> None:
    """Raise CheckpointError for a file or folder that does not exist; the hub is not asked."""
    if not given.exists() and not given.as_posix().startswith("hf:"):
        raise CheckpointError(f"{given} does not exist", hint="Check the path.")


def locate(given: Path) -> Located:
    """Find the files of a checkpoint: of a file, a folder, or a repository of the hub as `hf:org/name`.

    Raises CheckpointError where there are no weights, or where several files may be meant, DownloadError
    where the hub has none.
    """
    try:
        return _locate(given)
    except OSError as error:  # such as a name that is too long
        raise CheckpointError(f"{given} cannot be read: {error.strerror}", hint="Check the path.") from error


def _locate(given: Path) -> Located:
    text = given.as_posix()
    if text.startswith("hf:") and not given.exists():
        return _of_hub(text)
    if given.name.endswith(INDEX) and given.is_file():
        return _of_index(given, str(given), given.resolve().parent)
    if not given.is_dir():
        return Located(str(given), (given,), given.stem, given.parent)
    return in_folder(given, str(given), given.resolve().name)


def in_folder(folder: Path, title: str, name: str) -> Located:
    """Find the weights in a folder; raise CheckpointError where there are none, or too many to know which."""
    for known in KNOWN:
        path = folder / known
        if path.is_file():
            found = (
                _of_index(path, title, folder)
                if known.endswith(INDEX)
                else Located(title, (path,), name, folder)
            )
            return Located(title, found.paths, name, folder, found.indexed)
    others = [path for path in sorted(folder.iterdir()) if _may_be_weights(path)]
    if len(others) != 1:
        inner = sorted({path.parent.name for known in KNOWN for path in folder.glob(f"*/{known}")})
        where = f" Its folders with weights: {_listed(inner)}." if inner else ""
        what = (
            f"it has several files of weights: {_listed([path.name for path in others])}"
            if others
            else "it has no other weights"
        )
        known_names = f"{', '.join(KNOWN[:3])} and {len(KNOWN) - 3} more"
        raise CheckpointError(
            f"{title} is a folder without weights of a known name ({known_names}); {what}",
            hint=f"Name the file with the weights.{where}",
        )
    return Located(title, (others[0],), name, folder)


def _may_be_weights(path: Path) -> bool:
    named = path.name.lower().endswith(SUFFIXES) and not OF_TRAINING.fullmatch(path.name)
    return named and not path.name.startswith(".") and path.is_file()


def _of_index(path: Path, title: str, folder: Path) -> Located:
    found = read_json(path, IndexShape, hint=DOWNLOAD_AGAIN, kind=CheckpointError)["weight_map"]
    names = sorted(set(found.values()))
    if not 0 < len(names) <= MOST_PARTS:
        raise CheckpointError(
            f"{path} names {len(names)} files, of at most {MOST_PARTS}", hint=DOWNLOAD_AGAIN
        )
    for name in names:
        if why := fault(name):
            raise CheckpointError(
                f"{path}: the name {shown(name, quoted)} {why}", hint="Such an index is not safe to use."
            )
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{path} names {_listed(missing)}, which is not there", hint=DOWNLOAD_AGAIN)
    paths = tuple(path.parent / name for name in names)
    return Located(title, paths, folder.name, path.parent, frozenset(found))


def _of_hub(text: str) -> Located:
    match = HUB.fullmatch(text)
    if match is None:
        raise UsageError(f"--checkpoint {shown(text, str)} names no repository of the hub", hint=HUB_FORM)
    from convnext_edge.checkpoints.hub import fetch_folder

    repository = match["repository"]
    folder = fetch_folder(repository, match["revision"], CONFIGS, KNOWN)
    found = in_folder(folder, text, repository.partition("/")[2])
    return Located(text, found.paths, found.name, folder, found.indexed, revision=folder.name)


def check_index(located: Located, names: Sequence[str]) -> None:
    """Raise CheckpointError where the parts of a model do not hold the tensors that its index tells."""
    if located.indexed is not None and located.indexed != set(names):
        differ = sorted(located.indexed ^ set(names))
        raise CheckpointError(
            f"{located.title}: the parts and their index differ in {_listed(differ)}", hint=DOWNLOAD_AGAIN
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
