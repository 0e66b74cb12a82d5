"""A program of the tests that answers call after call, so that several hundred calls start it once."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path


class Harness:
    """A process that reads a call a line: words and base64 of what is given, tabs between them.

    It answers each with a line: exit code, base64 of what it wrote and of what it complained of. An error of
    the library is an answer too; only what nobody foresaw ends the process, and fails the test.
    """

    def __init__(self, command: Sequence[str | Path]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        call = [*map(str, words), base64.b64encode(given).decode("ascii")]
        self.process.stdin.write("\t".join(call) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        assert answer, f"the harness ended with exit code {self.process.wait(60)} in the call {call[:-1]}"
        code, *written = answer.split("\t")
        output, said = map(base64.b64decode, written)
        return subprocess.CompletedProcess(call, int(code), output, said)

    def close(self) -> None:
        """End the process; it must have nothing more to say."""
        output, _ = self.process.communicate(timeout=60)
        assert (output, self.process.returncode) == ("", 0)
