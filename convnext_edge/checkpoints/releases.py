"""Files of the authors' releases, which are on no hub: downloaded once, to where torch.hub keeps such files.

TORCH_HOME moves that place, HTTPS_PROXY is heeded, and HF_HUB_OFFLINE keeps from downloading, as on the hub.
"""

from __future__ import annotations

import shutil
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from convnext_edge.artifacts.files import write_whole
from convnext_edge.errors import DownloadError
from convnext_edge.progress import phase

TIMEOUT = 15  # seconds without a byte


def fetch_release(address: str) -> Path:
    """Return a released file: the one that was downloaded before, or else download it.

    Raises DownloadError where the server does not answer or does not send all of it.
    """
    from huggingface_hub import constants
    from torch.hub import get_dir

    name = PurePosixPath(urlsplit(address).path).name
    path = Path(get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    if constants.HF_HUB_OFFLINE:
        raise _refusal(address, path, "HF_HUB_OFFLINE is set, and it was not downloaded before")
    with phase(f"downloading {name}"):
        try:
            with urlopen(address, timeout=TIMEOUT) as answer:
                length = int(answer.headers["Content-Length"])
                write_whole(path, lambda file: _save(cast(BinaryIO, answer), file, length))
        except HTTPError as error:
            raise _refusal(address, path, f"the server answered HTTP {error.code}") from error
        except (OSError, HTTPException, TypeError, ValueError) as error:  # no length is a TypeError
            raise _refusal(address, path, f"no usable answer ({error})") from error
    return path


def _save(answer: BinaryIO, file: Path, length: int) -> None:
    """Write what a server sends; raise ValueError where the connection ends before its end."""
    with file.open("wb") as writer:
        shutil.copyfileobj(answer, writer)
    if file.stat().st_size != length:
        raise ValueError(f"{file.stat().st_size} of {length} bytes came")


def _refusal(address: str, path: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{address} could not be downloaded: {reason}",
        hint=f"Download it elsewhere and give it with --checkpoint FILE, or put it at {path}.",
    )
