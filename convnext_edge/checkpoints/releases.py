"""Files of the authors' releases, which are on no hub: downloaded once, to where torch.hub keeps such files.

TORCH_HOME moves that place, HTTPS_PROXY is heeded, and HF_HUB_OFFLINE keeps from downloading, as on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from convnext_edge.artifacts.files import write_whole
from convnext_edge.errors import DownloadError
from convnext_edge.progress import track

TIMEOUT = 15  # seconds without a byte
BLOCK = 2**20  # bytes
BEGINNINGS = (b"PK", b"\x80")  # of what torch.save writes: an archive, and before PyTorch 1.6 a pickle
SHOWN = 40  # bytes of something else


def fetch_release(address: str) -> Path:
    """Return a released file: the one that was downloaded before, or else download it.

    Raises DownloadError where the server does not answer or does not send all of it, ArtifactError where the
    file cannot be written.
    """
    from huggingface_hub import constants
    from torch.hub import get_dir

    name = PurePosixPath(urlsplit(address).path).name
    path = Path(get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    if constants.HF_HUB_OFFLINE:
        raise _refusal(address, path, "HF_HUB_OFFLINE is set, and it was not downloaded before")
    try:
        with urlopen(address, timeout=TIMEOUT) as answer:
            write_whole(path, lambda file: _save(answer, file), hint="name another with TORCH_HOME.")
    except HTTPError as error:
        raise _refusal(address, path, f"the server answered HTTP {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _refusal(address, path, f"no usable answer ({error})") from error
    return path


def _save(answer: HTTPResponse, file: Path) -> None:
    """Write the checkpoint that a server sends; raise ValueError where it sends less, or something else."""
    length = answer.length
    if length is None:
        raise ValueError("it does not tell how long the file is")
    blocks = track(_blocks(answer), f"downloading {file.name} (MiB)", total=-(-length // BLOCK))
    with file.open("wb") as writer:
        for number, block in enumerate(blocks):
            if number == 0 and not block.startswith(BEGINNINGS):
                raise ValueError(f"it is no checkpoint, and begins with {block[:SHOWN]!r}")
            writer.write(block)
    if (came := file.stat().st_size) != length or not came:
        raise ValueError(f"{came} of {length} bytes came")


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    """Yield what a server sends; raise ValueError where the connection breaks, as a disk has OSErrors too."""
    try:
        while block := answer.read(BLOCK):
            yield block
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _refusal(address: str, path: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{address} could not be downloaded: {reason}",
        hint=f"Download it elsewhere and give it with --checkpoint FILE, or put it at {path}.",
    )
