"""A device with a folder of ours on it, which it removes by itself when the connection ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from convnext_edge.closing import Closing
from convnext_edge.cpu import MACHINES, Machine
from convnext_edge.devices.address import Address
from convnext_edge.devices.shell import Shell, no_space
from convnext_edge.errors import DeviceError, UsageError
from convnext_edge.progress import note, phase
from convnext_edge.usage_reports import SWITCHES

READY = "convnext-edge-device"
MARGIN = 1.05  # of the space that files take, for folders and blocks
GOODBYE = 30  # seconds for the device to remove its folder
LOST = 255  # exit code of ssh itself, where the connection is lost: no program there may end with it
ENDED = "Q"  # kind of an empty frame: the program there has ended with exit code 0
LONGEST_WORDS = 100  # lines of standard error that are kept
# so that runtimes report nothing to their makers from there either, and keep no file for it
QUIET = " ".join(f"{name}={value}" for name, value in SWITCHES.items())

# One line, as not every login shell takes several in quotes. The folder is in the first place that lets
# programs run. Whatever ends the shell, a signal or the end of its input, runs `gone`; the program reads the
# same input, and ends with it.
HOLD = "; ".join(
    (
        "umask 077; d=",
        'gone() { cd /; for i in 1 2 3; do if [ -z "$d" ] || rm -rf "$d"; then return; fi; sleep 1; done; }',
        "trap gone EXIT",
        *(f"trap 'exit {128 + number}' {number}" for number in (1, 2, 13, 15)),  # HUP, INT, PIPE, TERM
        'for p in "${TMPDIR:-/tmp}" /var/tmp "$HOME" /data/local/tmp; do '
        '[ "$(printf %s "$p" | wc -l)" -eq 0 ] || continue; '  # a name with a line break would be read as two
        'd=$(mktemp -d "$p/convnext-edge.XXXXXX" 2>/dev/null) || continue; '
        'echo : >"$d/x" && chmod 700 "$d/x" && "$d/x" 2>/dev/null && rm "$d/x" && break; '
        'rm -rf "$d"; d=; done',
        f"echo {READY}",
        'echo "folder $d"; echo "machine $(uname -m)"; echo "kernel $(uname -sr)"; echo "name $(uname -n)"',
        'echo "cpus $(nproc 2>/dev/null)"',
        'echo "system $(uname -o 2>/dev/null)"; echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"',
        'if [ -n "$d" ]; then set -- $(df -Pk "$d" 2>/dev/null | tail -n 1); echo "free $4"; fi',
        "echo end",
        f'cd "$d" && export {QUIET} TMPDIR="$d"',
        'while read -r line; do eval "$line"; c=$?',
        f'if [ $c = {LOST} ]; then echo "exit code {LOST}" >&2; c={LOST - 1}; fi; [ $c = 0 ] || exit $c',
        f'printf "{ENDED}\\000\\000\\000\\000"; done',
    )
)


@dataclass(frozen=True)
class Facts:
    """What a device says of itself before anything runs there."""

    folder: str  # ours, empty where none could be made
    machine: str  # as uname says it
    kernel: str
    name: str
    system: str  # as "GNU/Linux", "Android"; empty where it does not tell
    libc: str  # as "glibc 2.36"; empty where it is another
    free_bytes: int | None  # where the folder is
    cpus: int | None  # that a process may use there

    @property
    def kind(self) -> Machine | None:
        """The kind of machine; None for one that no kernels of ours are known for."""
        return MACHINES.get(self.machine.lower())


class Device(Closing):
    """A connection to a device that holds a folder there; a context manager that ends both."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._words: deque[str] = deque(maxlen=LONGEST_WORDS)
        # A group of its own: Ctrl-C must reach this process alone, which ends the conversation in good order.
        self._process = subprocess.Popen(
            shell.command(HOLD),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=None if os.name == "nt" else 0,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            with phase(f"connecting to {self.address}"):
                self.facts = self._read_facts()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.shell.address

    @property
    def input(self) -> IO[bytes]:
        """Standard input of what `start` started."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        """Standard output of what `start` started."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def words(self) -> str:
        """The last that was printed on standard error."""
        return "\n".join(self._words)

    def place(self, name: str) -> str:
        """Return the path of a file in the folder there."""
        return f"{self.facts.folder}/{name}"

    def check_space(self, wanted: int) -> None:
        """Raise DeviceError where so many bytes have no room on the device."""
        free = self.facts.free_bytes
        if free is not None and free < MARGIN * wanted:
            why = (
                f"{wanted / 2**20:.0f} MiB are needed, {free / 2**20:.0f} MiB are free at {self.facts.folder}"
            )
            raise no_space(self.address, why)

    def check_threads(self, threads: int | None) -> None:
        """Raise UsageError for more threads than CPUs."""
        cpus = self.facts.cpus
        if threads is not None and cpus is not None and threads > cpus:
            raise UsageError(
                f"--threads {threads} are more than the {cpus} CPUs that may be used on {self.address}",
                hint=f"Give 1 to {cpus}.",
            )

    def upload(self, folder: Path, name: str = ".") -> None:
        """Copy what is in a folder into the folder there, or into one in it that has no subfolders."""
        if name != ".":
            self.run(f"mkdir -p {shlex.quote(self.place(name))}")
        try:
            self.shell.upload(folder, self.place(name))
        except DeviceError as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
                raise self.lost() from error
            raise

    def run(self, script: str) -> bytes:
        """Run a line of `sh` beside what `start` started, and return what it prints; raise DeviceError."""
        done = self.shell.run(script)
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()
            raise self.shell.explain(words, done.returncode) or DeviceError(
                f"{self.address} fails at `{script}`: {words}"
            )
        return done.stdout

    def start(self, words: list[str]) -> None:
        """Run a program there, with `input` and `output`; another may follow when it has ended."""
        try:
            self.input.write(shlex.join(words).encode() + b"\n")
            self.input.flush()
        except OSError:
            raise self.lost() from None

    def ended(self) -> int:
        """Wait for the end of what runs, and return its exit code."""
        try:
            code = self._process.wait(GOODBYE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join(GOODBYE)
        return code

    def lost(self) -> DeviceError:
        """Return why there is no connection any more."""
        code = self.ended()
        return self.shell.explain(self.words, code) or DeviceError(
            f"the shell on {self.address} that holds our folder ended with exit code {code}:"
            f" {self.words or 'it said nothing'}",
            hint="Run it again; see there whether something ends processes.",
        )

    def close(self) -> None:
        """End the connection; the device removes the folder. Waits until it has, but not for ever."""
        with suppress(OSError):
            self.input.close()
        drain = threading.Thread(target=self._drain, daemon=True)  # else a program would wait in its answer
        drain.start()
        try:
            self._process.wait(GOODBYE)
        except subprocess.TimeoutExpired:
            left = "see whether a folder convnext-edge.* is left there"
            note(f"{self.address} does not end the connection: {left}")
            self._process.kill()
            self._process.wait()
        drain.join(GOODBYE)
        self.output.close()
        self._listener.join(GOODBYE)

    def _drain(self) -> None:
        with suppress(OSError, ValueError):
            while self.output.read(2**16):
                pass

    def _listen(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            self._words.extend(line.decode("utf-8", "replace").rstrip() for line in stream)

    def _read_facts(self) -> Facts:
        """Read what the shell there says, behind whatever a login prints."""
        told: dict[str, str] = {}
        begun = False
        for raw in self.output:
            line = raw.decode("utf-8", "replace").strip()
            if begun and line == "end":
                break
            if begun:
                key, _, value = line.partition(" ")
                told[key] = value.strip()
            begun = begun or line == READY
        else:
            code = self.ended()
            raise self.shell.explain(self.words, code) or DeviceError(
                f"{self.address} does not run a shell: {self.words or f'exit code {code}'}",
                hint="The login there must run commands, as `ssh USER@HOST uname`.",
            )
        if not told.get("folder"):
            raise DeviceError(
                f"{self.address} has no folder where a program may be put and run",
                hint="Set TMPDIR there to one that is writable and not mounted with noexec.",
            )
        free, cpus = told.get("free", ""), told.get("cpus", "")
        names = ("folder", "machine", "kernel", "name", "system", "libc")
        return Facts(
            **{name: told.get(name, "") for name in names},
            free_bytes=int(free) * 1024 if free.isdecimal() else None,
            cpus=int(cpus) if cpus.isdecimal() else None,
        )
