"""What the tests of embedded pages share: an engine, PNG files, a headless Chromium, and a server."""

from __future__ import annotations

import base64
import functools
import json
import os
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.needs import NPM, npm_package, program
from support.places import TESTS

from convnext_edge import build, embed, export, quantize

FIXTURES = TESTS / "fixtures" / "web"
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
KINDS = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}


@functools.cache
def hasty_engine(folder: Path) -> Path:
    """The demo in INT8, quantized once and in a hurry: it is Python and browser that are compared here."""
    place = folder / "hasty"
    place.mkdir()
    (place / "fast.toml").write_text('rounding = "nearest"\nrange = "minmax"\n')
    exported = export("demo", workspace=place).artifact
    model = quantize(
        exported,
        calib="demo",
        samples=16,
        target="onnxruntime",
        recipe=place / "fast.toml",
        timing=False,
        workspace=place,
    )
    return build(model.artifact, workspace=place).engine


def page_folder(engine: Path, places: pytest.TempPathFactory) -> Path:
    """The page of an engine, with the runtime of npm."""
    package = npm_package("onnxruntime-web")
    output = places.mktemp("embedded") / "page"
    return embed(engine, lang="web", runtime=package, output=output).directory


def png(colour: int, depth: int, interlaced: int, width: int = 13, height: int = 11) -> bytes:
    """Noise as a PNG of any kind, with any filter: the bytes behind it mean nothing anyway."""
    generator = np.random.default_rng(100 * colour + depth)
    channels = KINDS[colour][0]
    raw = b""
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        for _ in range(rows if columns > 0 else 0):
            filtered = bytes([int(generator.integers(5))])
            raw += filtered + generator.bytes(-(-columns * channels * depth // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"gAMA", struct.pack(">I", 100_000))]
    if colour == 3:
        chunks += [(b"PLTE", generator.bytes(3 * 2**depth)), (b"tRNS", generator.bytes(2**depth // 2))]
    packed_pixels = zlib.compress(raw)
    chunks += [(b"IDAT", packed_pixels[:50]), (b"IDAT", packed_pixels[50:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


class Browser:
    """One page of a headless Chromium; a context manager. Each call waits until the page is at rest."""

    def __init__(self, profile: Path) -> None:
        npm_package("playwright-core")
        command = [program("node"), FIXTURES / "browser.js", program("chromium", "chromium-browser"), profile]
        environment = {**os.environ, "NODE_PATH": str(NPM)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def __call__(self, command: str, *arguments: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, *map(plain, arguments)]) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert "failed" not in answer, answer["failed"]
        return answer

    def evaluate(self, code: str) -> Any:
        """The value of an expression in the page, awaited where it is a promise."""
        return self("evaluate", code)["value"]


def plain(value: object) -> object:
    """Return a value as JSON can hold it."""
    return str(value) if isinstance(value, Path) else value


def base64_text(data: bytes) -> str:
    """Return bytes as text, as a page takes them."""
    return base64.b64encode(data).decode("ascii")


class Handler(SimpleHTTPRequestHandler):
    """A static server as Python's own is, and as plain."""

    headers_to_send: dict[str, str]

    def __init__(self, *arguments: Any, headers: dict[str, str], **options: Any) -> None:
        self.headers_to_send = headers
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        for name, value in self.headers_to_send.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """URL of a server of `folder` on this machine."""
    handler = functools.partial(Handler, directory=str(folder), headers=headers or {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
