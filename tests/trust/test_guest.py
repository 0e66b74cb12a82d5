"""The library in somebody else's process: calls in threads, and a host that goes on meanwhile."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support.models import CHECKPOINT, RESOLUTION, Models

from convnext_edge import export, quantize, validate
from convnext_edge.quiet import quiet, quiet_below

TIMES = int(os.environ.get("GUESTS", "2"))  # exports, quantizations, and half the validations, all at once


def in_thread(function: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as one:
        one.submit(function).result()


def state() -> dict[str, Any]:
    """What a host may see of the process, of all that libraries like to set."""
    import numpy as np
    import torch

    return {
        "stdout": sys.stdout,
        "logging": (logging.root.manager.disable, logging.Logger.handle, logging.getLoggerClass()),
        "warnings": (list(warnings.filters), warnings.filterwarnings, warnings.showwarning),
        "environment": dict(os.environ),
        "processes": multiprocessing.get_start_method(allow_none=True),
        "threads": torch.get_num_threads(),
        "torch": torch.random.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "types": torch.get_default_dtype(),
    }


# Quiet for one thread


def speak(name: str) -> None:
    print(f"printed by {name}")  # noqa: T201
    logging.getLogger(f"library.{name}").warning(f"logged by {name}")
    warnings.warn(f"warned by {name}", stacklevel=1)


def test_what_a_silenced_thread_says_is_lost_and_what_others_say_is_not(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # whatever an earlier command of the same process set
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with quiet():
            speak("library")
            in_thread(lambda: speak("host"))
        speak("host afterwards")
    assert capsys.readouterr().out == "printed by host\nprinted by host afterwards\n"
    assert [record.getMessage() for record in caplog.records] == [
        "logged by host",
        "logged by host afterwards",
    ]
    assert [str(found.message) for found in warned] == ["warned by host", "warned by host afterwards"]


def test_errors_are_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        logging.getLogger("library").error("broken")
    assert caplog.messages == ["broken"]


def test_warnings_that_are_errors_for_the_host_stop_no_library() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            speak("library")
            with pytest.raises(UserWarning, match="warned by host"):
                in_thread(lambda: warnings.warn("warned by host", stacklevel=1))


def test_a_library_adds_no_filter_and_the_host_may() -> None:
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with quiet():
            warnings.filterwarnings("ignore", "of a library")
            in_thread(lambda: warnings.filterwarnings("ignore", "of the host"))
        (added,) = [found for found in warnings.filters if found not in before]
        assert added[1] is not None
        assert added[1].pattern == "of the host"  # type: ignore[union-attr]


def test_two_threads_that_overlap_leave_all_as_it_was() -> None:
    before, entered, leave = state(), threading.Event(), threading.Event()

    def longer() -> None:
        with quiet():
            entered.set()
            assert leave.wait(10)

    with ThreadPoolExecutor(1) as one:
        with quiet(), quiet():
            running = one.submit(longer)
            assert entered.wait(10)
        leave.set()
        running.result()
    assert state() == before


def test_an_output_that_the_host_puts_in_its_place_stays() -> None:
    entered, leave, taken = threading.Event(), threading.Event(), io.StringIO()
    before = sys.stdout

    def of_host() -> None:
        with redirect_stdout(taken):
            entered.set()
            assert leave.wait(10)
            print("of the host")  # noqa: T201

    with ThreadPoolExecutor(1) as one:
        with quiet():
            running = one.submit(of_host)
            assert entered.wait(10)
        assert sys.stdout is taken
        leave.set()
        running.result()
    assert taken.getvalue() == "of the host\n"
    with quiet():
        pass
    assert sys.stdout is before


def test_what_native_code_writes_is_silenced_until_the_last_thread_is_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet_below():
        with quiet_below():
            os.write(2, b"first\n")
        os.write(2, b"second\n")
    os.write(2, b"third\n")
    assert capfd.readouterr().err == "third\n"


# Threads of PyTorch


def test_a_number_of_threads_is_that_of_one_thread() -> None:
    import torch

    from convnext_edge.network.threads import operator_threads

    before = torch.get_num_threads()
    found: list[int] = []
    with operator_threads(before + 2):
        assert torch.get_num_threads() == before + 2
        in_thread(lambda: found.append(torch.get_num_threads()))
    assert found == [before]
    assert torch.get_num_threads() == before


# Commands side by side


@contextmanager
def host(lines: list[str]) -> Iterator[None]:
    """A thread that prints, logs and warns until the end, and notes what it said."""
    ended = threading.Event()

    def speaks() -> None:
        while not ended.wait(0.01):
            lines.append(f"line {len(lines)}")
            print(lines[-1])  # noqa: T201
            logging.getLogger("host").warning(lines[-1])
            warnings.warn(lines[-1], stacklevel=1)

    with ThreadPoolExecutor(1) as one:
        speaking = one.submit(speaks)
        try:
            yield
        finally:
            ended.set()
            speaking.result()


def test_commands_in_threads_do_what_they_do_alone(
    models: Models,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)  # whatever an earlier command of the same process set
    exported, quantized, calib = models.exported(), models.quantized(), str(photos)

    def export_it(number: int) -> object:
        return export(checkpoint=CHECKPOINT, resolution=RESOLUTION, workspace=tmp_path / f"{number}").artifact

    def quantize_it(number: int) -> object:
        return quantize(
            exported, calib=calib, samples=16, timing=False, workspace=tmp_path / f"{number}"
        ).artifact

    def validate_it(number: int) -> object:
        return validate(quantized, data=calib, limit=16, workspace=tmp_path / f"{number}").to_json()

    expected = [*map(digest, [exported, quantized]), validate_it(0)]
    calls = [export_it, quantize_it, validate_it, validate_it] * TIMES
    before, said = state(), list[str]()
    capsys.readouterr()
    with (
        warnings.catch_warnings(record=True) as warned,
        host(said),
        ThreadPoolExecutor(len(calls)) as pool,
    ):
        warnings.simplefilter("always")
        running = [pool.submit(call, number) for number, call in enumerate(calls)]
        found = [future.result() for future in running]
    assert [digest(one) if isinstance(one, Path) else one for one in found] == TIMES * [
        *expected,
        expected[-1],
    ]
    assert len(said) > 10
    assert capsys.readouterr().out.splitlines() == said
    assert [record.getMessage() for record in caplog.records if record.name == "host"] == said
    assert [str(one.message) for one in warned] == said
    assert state() == before


def digest(path: object) -> str:
    assert isinstance(path, Path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


FIRST = """
import json, logging, multiprocessing, os, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor
import convnext_edge

def state():
    return {
        "environment": dict(os.environ),
        "processes": multiprocessing.get_start_method(allow_none=True),
        "warnings": [repr(found) for found in warnings.filters],
        "logging": [logging.root.manager.disable, repr(logging.getLoggerClass())],
        "output": repr(sys.stdout),
    }

before = state()
checkpoint, resolution, folder = sys.argv[1:]
given = {"checkpoint": checkpoint, "resolution": int(resolution)}
def export(number):
    return convnext_edge.export(**given, workspace=f"{folder}/{number}").artifact.read_bytes()
with ThreadPoolExecutor(2) as pool:
    first, second = pool.map(export, range(2))
print(json.dumps({"same": first == second, "before": before, "after": state()}))
"""


@pytest.mark.slow(seconds=12)
def test_the_first_calls_of_a_process_may_come_from_two_threads(tmp_path: Path) -> None:
    """Both import PyTorch and the exporters at the same time, and leave the process as it was."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCH")}
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(CHECKPOINT), str(RESOLUTION), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"]
    assert found["after"] == found["before"]
