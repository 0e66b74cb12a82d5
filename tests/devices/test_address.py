"""Addresses of devices: what is one, and that nothing in it is taken for an option or shown as a secret."""

from __future__ import annotations

import pytest

from convnext_edge.devices.address import Address, Where, parse_address
from convnext_edge.errors import UsageError


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ssh://pi", ("ssh", "pi", None, None)),
        ("ssh://me@pi.local", ("ssh", "pi.local", "me", None)),
        ("ssh://me@10.0.0.7:2222", ("ssh", "10.0.0.7", "me", 2222)),
        ("ssh://me@[fe80::1%eth0]:22", ("ssh", "fe80::1%eth0", "me", 22)),
        ("adb:R58M123ABC", ("adb", "R58M123ABC", None, None)),
        ("adb:192.168.1.5:5555", ("adb", "192.168.1.5:5555", None, None)),
    ],
)
def test_an_address_has_its_parts_and_is_written_as_it_was_given(
    url: str, parts: tuple[str, str, str | None, int | None]
) -> None:
    found = parse_address(url)
    assert (found.scheme, found.host, found.user, found.port) == parts
    assert str(found) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pi",
        "ssh:pi",
        "ssh://",
        "ssh://-oProxyCommand=touch",
        "ssh://-l@pi",
        "ssh://pi;reboot",
        "ssh://pi/path",
        "ssh://pi:0",
        "ssh://pi:65536",
        "ssh://pi:two",
        "ssh://pi:٢٢",
        "ssh://pi:" + "9" * 5000,
        "ssh://[:]",
        "ssh://[1.2.3.4]",
        "ssh://me@",
        "adb:",
        "adb:-s",
        "adb:$(reboot)",
        "http://pi",
        "ssh://pi\n",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a device") as raised:
        parse_address(url)
    assert "ssh://USER@HOST" in raised.value.hint


@pytest.mark.parametrize(
    "url",
    [
        *("ssh://me:secret@pi", "ssh://me:a/secret@pi", "ssh://me:a@secret@pi", "SSH://me:secret@pi"),
        *("me:secret@pi", "ssh:me:secret@pi", "http://me:secret@pi", "adb:me:secret@pi"),
    ],
)
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="password") as raised:
        parse_address(url)
    assert "secret" not in str(raised.value)


def test_a_runner_is_split_as_a_shell_does() -> None:
    where = Where.parse("ssh://pi", "qemu-aarch64 -L 'my root'")
    assert where == Where("ssh://pi", ("qemu-aarch64", "-L", "my root"))
    assert Where.parse(None, None) is None
    with pytest.raises(UsageError, match="line break"):
        Where.parse("ssh://pi", "env 'A=1\n2'")
    assert parse_address("ssh://pi") == Address("ssh", "pi")
