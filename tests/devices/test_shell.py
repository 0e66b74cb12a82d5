"""The way to a device: what its login shell is, where our folder is made, and how its end is noticed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from convnext_edge.devices.address import parse_address
from convnext_edge.devices.device import Device
from convnext_edge.devices.shell import SSH, Shell, in_sh
from convnext_edge.errors import DeviceError

ODD = "a!b 'c' \"d\" $HOME back\\slash * `e` !!"


class Here(SSH):
    """A device that is this machine, without a connection."""

    program = "sh"

    def command(self, script: str) -> list[str]:
        return ["sh", "-c", script]


@pytest.fixture
def here() -> Shell:
    return Here(parse_address("ssh://here"))


@pytest.mark.parametrize("login", ["sh", "bash", "dash", "csh", "tcsh", "fish", "zsh"])
def test_any_login_shell_hands_a_script_on_as_it_is(login: str) -> None:
    if shutil.which(login) is None:
        pytest.skip(f"{login} is not installed")
    script = f"printf %s {shlex.quote(ODD)}"
    done = subprocess.run([login, "-c", in_sh(script)], capture_output=True, text=True, check=True)
    assert done.stdout == ODD


def test_a_temporary_folder_with_a_line_break_in_its_name_is_passed_over(
    here: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "two\nlines"
    odd.mkdir()
    monkeypatch.setenv("TMPDIR", str(odd))
    with Device(here) as device:
        folder = Path(device.facts.folder)
        assert folder.is_dir()
        assert odd not in folder.parents
    assert not folder.exists()


def test_a_shell_that_was_ended_is_an_error_at_the_next_use(
    here: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken pipe would end the command without a word."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "files").mkdir()
    with Device(here) as device:
        os.kill(device._process.pid, signal.SIGTERM)
        device._process.wait()
        with pytest.raises(DeviceError, match="ended with exit code 143"):
            device.upload(tmp_path / "files")
        with pytest.raises(DeviceError, match="ended with exit code 143"):
            device.start(["true"])
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_disk_that_fills_up_while_files_are_copied_is_said_to_be_full(here: Shell) -> None:
    """What GNU tar says of it."""
    words = "tar: ./lib/x.so: Wrote only 7168 of 10240 bytes\ntar: Exiting with failure status"
    assert "too little space" in str(here.upload_failed(words, 2))
    assert "Wrote only 7168" in str(here.upload_failed(words, 2))


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Host key verification failed.", "Connect once by hand (ssh -p 2222 me@pi), compare"),
        ("me@pi: Permission denied (publickey).", "ssh-copy-id -p 2222 me@pi; with a passphrase"),
        ("ssh: connect to host pi port 2222: Connection refused", "ssh -p 2222 me@pi must work by hand"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "(ssh-keygen -R '[pi]:2222')"),
    ],
)
def test_what_to_do_is_a_command_for_this_device(said: str, hint: str) -> None:
    """As OpenSSH words it: the port is an option there, and part of the name in known_hosts."""
    error = Here(parse_address("ssh://me@pi:2222")).explain(said, 255)
    assert error is not None
    assert hint in error.hint
    assert "{" not in error.hint


def test_an_alias_of_the_configuration_stays_one() -> None:
    error = Here(parse_address("ssh://board")).explain("Host key verification failed.", 255)
    assert error is not None
    assert "(ssh board)" in error.hint
