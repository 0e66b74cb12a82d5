"""Where a device is: `ssh://user@host[:port]`, or `adb:SERIAL`."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from typing import Literal

from convnext_edge.errors import UsageError

# No name begins with a dash: ssh and adb would take it for an option.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.%+-]*"
SSH_URL = re.compile(
    rf"ssh://(?:(?P<user>{NAME})@)?(?P<host>{NAME}|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\])(?::(?P<port>[0-9]{{1,5}}))?/?"
)
ADB_URL = re.compile(r"adb:(?P<host>[A-Za-z0-9_][A-Za-z0-9_.:-]*)")
SCHEME = re.compile(r"\A((ssh|adb):/*|[a-z]+://)", re.IGNORECASE)
HIGHEST_PORT = 65535
HINT = "Give ssh://USER@HOST or ssh://USER@HOST:PORT, or adb:SERIAL as `adb devices` lists it."


@dataclass(frozen=True)
class Address:
    """The address of a device; as text, the URL that was given."""

    scheme: Literal["ssh", "adb"]
    host: str  # name, address, or alias of the user's ssh configuration; of adb, the serial number
    user: str | None = None  # None: as ssh's configuration says
    port: int | None = None

    def __str__(self) -> str:
        if self.scheme == "adb":
            return f"adb:{self.host}"
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    @property
    def words(self) -> str:
        """What stands for the device behind `ssh` or `ssh-copy-id`, as a person types it."""
        user = f"{self.user}@" if self.user else ""
        return (f"-p {self.port} " if self.port else "") + user + self.host

    @property
    def known_as(self) -> str:
        """The device's name in the list of the hosts that ssh knows."""
        return f"'[{self.host}]:{self.port}'" if self.port else self.host


def parse_address(url: str) -> Address:
    """Return the address that a URL names; raise UsageError for any other text.

    A password is refused, and not repeated in the message: ssh takes none from another program.
    """
    if ":" in SCHEME.sub("", url).rpartition("@")[0]:  # of any scheme: refused addresses are repeated
        raise UsageError(
            "--on has a password in its URL, which ssh does not take",
            hint="Let ssh log in by a key (ssh-copy-id USER@HOST), and leave the password out.",
        )
    if found := ADB_URL.fullmatch(url):
        return Address("adb", found["host"])
    found = SSH_URL.fullmatch(url)
    if (
        found is None
        or int(found["port"] or 1) not in range(1, HIGHEST_PORT + 1)
        or not _exists(found["host"])
    ):
        raise UsageError(f"--on {url!r} is no address of a device", hint=HINT)
    port = int(found["port"]) if found["port"] else None
    return Address("ssh", found["host"].strip("[]"), found["user"], port)


def _exists(host: str) -> bool:
    """Return whether what is in brackets is an address of IPv6; any name without them may be one."""
    if not host.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Where:
    """Where an engine is to run: the device, and what runs the program there."""

    url: str
    runner: tuple[str, ...] = ()

    @classmethod
    def parse(cls, on: str | None, runner: str | None) -> Where | None:
        """Return what the options say, None without `--on`; raise UsageError for what is wrong with them."""
        if on is None:
            if runner is not None:
                raise UsageError("--runner means nothing without --on", hint="Add --on ssh://USER@HOST.")
            return None
        if runner is not None and "\n" in runner:
            raise UsageError("--runner has a line break", hint="Give one command in one line.")
        try:
            words = tuple(shlex.split(runner or ""))
        except ValueError as error:
            raise UsageError(
                f"--runner {runner!r} is no command: {error}", hint="Close its quotes."
            ) from error
        return cls(str(parse_address(on)), words)
