"""An OpenSSH server on loopback, with a key and a port of its own: a device that is always there."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support.needs import missing

SECONDS = 20.0  # that anything here may take


class SSHServer:
    """The server, and the `ssh` that knows its key. folder: for all that it needs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment  # of what runs there
        self.port = free_port()
        self.temporary = folder / "device"  # where the device makes its folders
        self.temporary.mkdir()
        self.programs = folder / "programs"  # the first on the PATH of the device
        self.programs.mkdir()
        for name in ("host", "user", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        self.known(self._key("host"))
        self.log_in_with("user")
        self._write_program()
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def known(self, key: str) -> None:
        """Let the client know the server by a key; by none where it is empty."""
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n" if key else "")

    def forget(self) -> None:
        self.known("")

    def remember(self) -> None:
        self.known(self._key("host"))

    def take_for_another(self) -> None:
        self.known(self._key("stranger"))

    def log_in_with(self, key: str) -> None:
        """Let the client log in with the key of that name."""
        (self.folder / "config").write_text(
            f"Host *\n  IdentityFile {self.folder / key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / 'known'}\n  GlobalKnownHostsFile /dev/null\n"
        )

    def drop(self) -> None:
        """End all connections as a broken network does: at once."""
        for child in children(self.process.pid):
            os.kill(child, signal.SIGKILL)

    def left(self) -> list[str]:
        """What is left on the device, as soon as that is nothing."""
        wait_until(lambda: not os.listdir(self.temporary))  # noqa: PTH208
        return os.listdir(self.temporary)  # noqa: PTH208

    def stop(self) -> None:
        self.drop()
        self.process.terminate()
        self.process.wait(SECONDS)

    def _key(self, name: str) -> str:
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def _write_program(self) -> None:
        """Write an `ssh` with a configuration of its own, as the user's would be found by home alone."""
        program = self.folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder / "config"} "$@"\n')
        program.chmod(0o755)

    def _variables(self) -> dict[str, str]:
        path = f"{self.programs}:{os.defpath}"
        return {"TMPDIR": str(self.temporary), "PATH": path, **self.environment}

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host",
            "PidFile": "none",
            "AuthorizedKeysFile": self.folder / "authorized",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "StrictModes": "no",  # folders of pytest are others' to read
            "PermitRootLogin": "prohibit-password",
            "SetEnv": " ".join(f"{name}={value}" for name, value in self._variables().items()),
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # of privilege separation
        log = self.folder / "log"
        process = subprocess.Popen([find_sshd(), "-D", "-f", config, "-E", log])
        if not wait_until(lambda: listening(self.port)):
            process.kill()
            raise AssertionError(f"sshd does not start: {log.read_text()}")
        return process


def find_sshd() -> str:
    """The server, which a user's PATH mostly lacks; it wants to be called by its full path."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    return found or missing("needs sshd (apt install openssh-server)")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def children(process: int) -> list[int]:
    """The processes that one has started."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def wait_until(true: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Wait until something is true, but not for ever; return whether it is."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
