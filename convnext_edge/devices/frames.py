"""Frames of bytes to and from the program on a device: see `sample/server.hpp` of the embedded C++."""

from __future__ import annotations

import signal
import struct
from typing import Any, TypeVar

from convnext_edge.devices.device import ENDED, Device
from convnext_edge.errors import DeviceError, TargetError
from convnext_edge.reading import DamagedError, Shape, check, parse_json

HEADER = struct.Struct("<cI")
LARGEST = 2**30  # bytes of a frame that are believed
BY_SIGNAL = 128  # a shell's exit code of a program that a signal ended, less the signal's number
S = TypeVar("S", bound=Shape)


class Conversation:
    """What is asked of the program that a device has started, and what it answers."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def tell(self, kind: bytes, content: bytes = b"") -> None:
        """Send a frame."""
        try:
            self.device.input.write(HEADER.pack(kind, len(content)))
            self.device.input.write(content)
            self.device.input.flush()
        except OSError:  # what it said before it ended is more than that
            self.hear(kind)
            raise self._ended() from None

    def hear(self, kind: bytes) -> bytes:
        """Return what is in the next frame.

        Raises DeviceError for a connection that is lost and for other frames, TargetError for an error of
        the program, or for its end.
        """
        found, length = HEADER.unpack(self._read(HEADER.size))
        if found == ENDED.encode() != kind:
            self.device.close()  # its last words come on another way, and are all there then
            raise self._said("with exit code 0, and did not answer")
        if found not in (kind, b"E") or length > LARGEST:
            raise self._strange(f"a frame {found!r} of {length} bytes")
        content = self._read(length)
        if found == b"E":
            what, _, hint = content.decode("utf-8", "replace").partition("\n")
            raise TargetError(f"{self.device.address}: {what}", hint=hint)
        return content

    def hear_json(self, kind: bytes, shape: type[S]) -> S:
        """Return the values of a frame that holds JSON of a shape."""
        content = self.hear(kind)
        try:
            value: dict[str, Any] = parse_json(content)
            check(value, shape)
        except DamagedError as error:
            raise self._strange(str(error)) from error
        return shape.model_validate(value)

    def _read(self, length: int) -> bytes:
        content = self.device.output.read(length)
        if len(content) < length:
            raise self._ended()
        return content

    def _strange(self, why: str) -> DeviceError:
        return DeviceError(
            f"the program on {self.device.address} answers what this version does not know: {why}",
            hint="See whether a login there, or the --runner, prints something into what programs read.",
        )

    def _ended(self) -> DeviceError | TargetError:
        """Return why there are no more frames: the connection, or the program."""
        code = self.device.ended()
        lost = self.device.shell.explain(self.device.words, code)
        if lost is not None:
            return lost
        known = {BY_SIGNAL + number.value: f"by {number.name}" for number in signal.Signals}
        how = known.get(code, f"with exit code {code}")
        return self._said(how)

    def _said(self, how: str) -> TargetError:
        words = self.device.words
        return TargetError(
            f"the program on {self.device.address} ended {how}: {words or 'it said nothing'}",
            hint="See what it says; a library that it misses is the device's to install.",
        )
