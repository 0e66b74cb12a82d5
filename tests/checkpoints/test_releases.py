"""Files of the authors' releases are downloaded once, whole or not at all, by a server of this machine."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from support.cascades import checkpoint_of, state_of

from convnext_edge.checkpoints import detectors
from convnext_edge.checkpoints import load_source as sources
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.releases import fetch_release
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.errors import ArtifactError, CheckpointError, DownloadError, UsageError

NAME = "cascade_mask_rcnn_tiny"
FILE = detectors.DETECTORS[NAME].file


class Releases:
    """What a server gives for each path, how much of it, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sent = 1.0  # part of a file before the connection ends
        self.reset = False  # whether it then breaks the connection
        self.asked: list[str] = []
        releases = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                releases.asked.append(self.path)
                content = releases.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: int(releases.sent * len(content or b""))])
                if releases.reset:
                    self.wfile.flush()
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        arguments = {"poll_interval": 0.01}
        threading.Thread(target=self.server.serve_forever, kwargs=arguments, daemon=True).start()


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    made = Releases()
    monkeypatch.setattr(detectors, "RELEASES", made.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    buffer = BytesIO()
    torch.save(checkpoint_of(state_of()), buffer)
    made.files[f"/{FILE}"] = buffer.getvalue()
    yield made
    made.server.shutdown()
    made.server.server_close()


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "torch").rglob("*.pth"))


def test_a_named_detector_is_downloaded_once_and_prepared_as_mmdetection_does(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.pth"
    path.write_bytes(releases.files[f"/{FILE}"])
    small = replace(find_variant(NAME), architecture=load_checkpoint(path).model.architecture)
    monkeypatch.setattr(sources, "find_variant", lambda name: small)
    found = [sources.load_source(NAME) for _ in range(2)][-1]
    assert releases.asked == [f"/{FILE}"]
    assert (found.stem, found.variant, found.task) == (NAME, NAME, "detect")
    assert found.preprocessing.size == (800, 1344)
    assert "mmdetection prepares" in found.prepared_by
    assert any("anchors and overlaps as in mmdetection" in each for each in found.assumed)
    (file,) = kept(tmp_path)
    assert file.read_bytes() == releases.files[f"/{FILE}"]


def test_weights_of_another_detector_are_refused(releases: Releases) -> None:
    with pytest.raises(CheckpointError, match=f"is not a {NAME}: it has depths .*; {NAME} has") as raised:
        sources.load_source(NAME)
    assert raised.value.hint.endswith(f"{FILE}, and it is downloaded again.")


def test_how_a_named_detector_finds_objects_is_changed_of_the_kept_weights() -> None:
    with pytest.raises(
        UsageError, match=r"--score-threshold belongs to --checkpoint(?s:.)*weights that are kept"
    ):
        sources.load_source(NAME, random_weights=True, asked=sources.Asked(Traits(score_threshold=0.0)))


@pytest.mark.parametrize("sent", [0.0, 0.5])
def test_half_a_file_is_none(sent: float, releases: Releases, tmp_path: Path) -> None:
    releases.sent = sent
    with pytest.raises(DownloadError, match=r"no usable answer(?s:.)*--checkpoint FILE"):
        fetch_release(detectors.release(NAME))
    assert kept(tmp_path) == []


def test_a_broken_connection_is_no_fault_of_the_disk(releases: Releases, tmp_path: Path) -> None:
    releases.sent, releases.reset = 0.5, True
    with pytest.raises(DownloadError, match=r"no usable answer \(Connection reset by peer\)"):
        fetch_release(detectors.release(NAME))
    assert kept(tmp_path) == []


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>Log in to this network", b""])
def test_a_page_in_place_of_a_checkpoint_is_not_kept(
    content: bytes, releases: Releases, tmp_path: Path
) -> None:
    releases.files[f"/{FILE}"] = content
    told = "it is no checkpoint, and begins with b'<!DOCTYPE html>" if content else "0 of 0 bytes came"
    with pytest.raises(DownloadError, match=told):
        fetch_release(detectors.release(NAME))
    assert kept(tmp_path) == []


def test_a_place_that_cannot_be_written_is_told_with_its_variable(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match=r"cannot write .*\nName another with TORCH_HOME"):
        fetch_release(detectors.release(NAME))


def test_what_is_not_there_is_told_with_a_way_out(releases: Releases, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the server answered HTTP 404(?s:.)*put it at .*checkpoints"):
        fetch_release(f"{releases.address}/other.pth")
    assert kept(tmp_path) == []


def test_offline_nothing_is_asked(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        fetch_release(detectors.release(NAME))
    assert releases.asked == []
