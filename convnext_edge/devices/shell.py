"""The ways to a device: the user's own OpenSSH, with keys, configuration and jump hosts as they are; adb."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tarfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from convnext_edge.devices.address import Address
from convnext_edge.errors import DeviceError

SSH_OPTIONS = {
    "BatchMode": "yes",  # asks nothing: there is nobody to answer
    "RequestTTY": "no",  # a terminal would change bytes on their way
    "RemoteCommand": "none",
    "ClearAllForwardings": "yes",  # no port of the configuration is opened
    "ConnectTimeout": "20",  # seconds
    "ServerAliveInterval": "15",  # seconds; three without an answer end a dead connection
}
LONGEST_SOCKET = 80  # characters of a path; ssh adds 17 to it, and systems allow about 104
NO_SPACE = re.compile(r"no space left|quota exceeded|wrote only \d+ of", re.IGNORECASE)  # the last: tar

# What ssh says -> what is wrong, and what to do about it. {there} is the address, {words} what a person types
# behind `ssh`, {known_as} the name of its key in the list of known hosts.
SSH_ERRORS: tuple[tuple[str, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "{there} has another host key than the one that ssh knows",
        "If the device was installed anew, remove the old key (ssh-keygen -R {known_as}) and connect once by"
        " hand (ssh {words}); if not, somebody may be between you and it.",
    ),
    (
        r"Host key verification failed|No \S+ host key is known",
        "the host key of {there} is not known to ssh",
        "Connect once by hand (ssh {words}), compare the fingerprint, and accept it.",
    ),
    (
        r"Permission denied|Too many authentication failures|Load key",
        "{there} does not let ssh log in",
        "Let it log in by a key without a question: ssh-copy-id {words}; with a passphrase, ssh-add.",
    ),
    (
        r"Could not resolve|not known|Connection refused|timed out|No route to host|unreachable",
        "{there} is not reachable",
        "See whether it is switched on and in the network: ssh {words} must work by hand.",
    ),
)


class Shell(ABC):
    """A way to run commands on a device, and to bring files there."""

    program: str  # of the user's, that does it

    def __init__(self, address: Address) -> None:
        self.address = address
        if shutil.which(self.program) is None:
            raise DeviceError(f"{address} needs {self.program}, which is not on the PATH", hint=self.remedy)

    remedy: str  # what brings the program

    @abstractmethod
    def command(self, script: str) -> list[str]:
        """Return the words that run a line of `sh` there, with standard input and output as they are."""

    @abstractmethod
    def upload(self, folder: Path, into: str) -> None:
        """Copy what is in `folder` into a folder of the device; raise DeviceError."""

    @abstractmethod
    def explain(self, words: str, code: int) -> DeviceError | None:
        """Return what is wrong with the way itself, by what it printed and its exit code, or None."""

    def run(self, script: str, *, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a line of `sh` on the device and wait for its end."""
        return subprocess.run(self.command(script), input=given, capture_output=True, check=False)

    def upload_failed(self, words: str, code: int) -> DeviceError:
        """Return why files did not come to the device."""
        if NO_SPACE.search(words):
            return no_space(self.address, next(filter(NO_SPACE.search, words.splitlines())))
        return self.explain(words, code) or DeviceError(
            f"copying to {self.address} failed: {words.strip() or f'exit code {code}'}",
            hint=f"See whether {self.program} copies there by hand.",
        )


class SSH(Shell):
    """OpenSSH; commands share the connection of the first of them where `socket` is given."""

    program = "ssh"
    remedy = "Install OpenSSH's client (apt install openssh-client)."

    def __init__(self, address: Address, socket: Path | None = None) -> None:
        super().__init__(address)
        self.options = dict(SSH_OPTIONS)
        # Windows' OpenSSH shares no connections
        if socket is not None and os.name != "nt" and len(str(socket)) <= LONGEST_SOCKET:
            self.options |= {"ControlMaster": "auto", "ControlPath": str(socket), "ControlPersist": "no"}

    def command(self, script: str) -> list[str]:
        """Return the call of ssh; the login shell there may be any, so it gets one quoted word for `sh`."""
        options = [word for key, value in self.options.items() for word in ("-o", f"{key}={value}")]
        port = ["-p", str(self.address.port)] if self.address.port else []
        user = f"{self.address.user}@" if self.address.user else ""
        return [self.program, *options, *port, f"{user}{self.address.host}", in_sh(script)]

    def upload(self, folder: Path, into: str) -> None:
        """Copy by `tar`, which every Linux has, as one stream."""
        process = subprocess.Popen(
            self.command(f"tar -xof - -C {shlex.quote(into)}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=None if os.name == "nt" else 0,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        with process:
            with suppress(OSError), tarfile.open(fileobj=process.stdin, mode="w|") as archive:  # it tells why
                archive.add(folder, arcname=".", filter=_without_owner)
            with suppress(OSError):
                process.stdin.close()
            words = process.stderr.read().decode("utf-8", "replace")
        if process.returncode:
            raise self.upload_failed(words, process.returncode)

    def explain(self, words: str, code: int) -> DeviceError | None:
        """Return what ssh says of the connection: it ends with 255 then."""
        if code != 255:
            return None
        last = next(
            (line for line in reversed(words.splitlines()) if line.strip()), "ssh ended with 255"
        ).strip()
        for pattern, what, hint in SSH_ERRORS:
            if re.search(pattern, words):
                told = {
                    "there": self.address,
                    "words": self.address.words,
                    "known_as": self.address.known_as,
                }
                return DeviceError(f"{what.format(**told)}: {last}", hint=hint.format(**told))
        return DeviceError(
            f"the connection to {self.address} is lost: {last}",
            hint="The device removes what was copied there by itself. Run it again.",
        )


class ADB(Shell):
    """The Android Debug Bridge."""

    program = "adb"
    remedy = "Install Android's platform tools (apt install adb)."

    def command(self, script: str) -> list[str]:
        """Return the call of adb; without a terminal (-T), bytes come through as they are."""
        return [self.program, "-s", self.address.host, "shell", "-T", in_sh(script)]

    def upload(self, folder: Path, into: str) -> None:
        """Copy by `adb push`."""
        words = [self.program, "-s", self.address.host, "push", f"{folder}/.", into]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise self.upload_failed(done.stdout + done.stderr, done.returncode)

    def explain(self, words: str, code: int) -> DeviceError | None:
        """Return what adb says of the device."""
        found = re.search(r"^(?:adb: |error: ).*", words, re.MULTILINE)
        if found is None:
            return None
        if "unauthorized" in words:
            hint = "Unlock the phone and allow debugging by this computer."
        else:
            hint = "See whether `adb devices` lists it."
        return DeviceError(f"{self.address} is not reachable: {found[0].strip()}", hint=hint)


def in_sh(script: str) -> str:
    """Return what any login shell takes for `sh -c SCRIPT`.

    csh reads `!` as a call of its history in single quotes, too, so that stands outside of them, behind a
    backslash.
    """
    quoted = shlex.quote(script).replace("!", "'\\!'")
    return f"sh -c {quoted}"


def no_space(address: Address, why: str) -> DeviceError:
    """Return the error of a device that is full."""
    return DeviceError(
        f"there is too little space on {address}: {why}",
        hint="Free some there, or set TMPDIR there to a folder with more (~/.ssh/environment, or SetEnv).",
    )


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
