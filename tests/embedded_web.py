"""What the tests of embedded pages share: a headless Chromium, and a server."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from needs import NPM, npm_package, program

FIXTURES = Path(__file__).parent / "fixtures" / "web"
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


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
    return str(value) if isinstance(value, Path) else value


def base64_text(data: bytes) -> str:
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
