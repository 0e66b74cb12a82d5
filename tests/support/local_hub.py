"""A small server on this machine that answers as the Hugging Face hub does."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LocalHub:
    """Serves `files` of one repository; `status` other than 200 is answered to all."""

    repository: str
    files: dict[str, bytes]
    status: int = 200
    error_code: str = ""
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                repository, _, rest = self.path.removeprefix("/").partition("/resolve/")
                content = hub.files.get(rest.partition("/")[2]) if repository == hub.repository else None
                status = hub.status if content is not None else 404
                self.send_response(status)
                self.send_header("X-Repo-Commit", COMMIT)
                if status != 200:
                    self.send_header("X-Error-Code", hub.error_code or "EntryNotFound")
                    content = b""
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
