"""compare --ray: the same numbers as without Ray, a killed worker loses nothing, Ray itself is not heard."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import torch
from support.models import Models
from support.needs import package

from convnext_edge import compare
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.commands.compare.grid import cluster
from convnext_edge.commands.compare.grid.cluster import Node, check_address, check_nodes, environment
from convnext_edge.commands.compare.grid.outcome import Outcome, attempt, attempt_there
from convnext_edge.commands.compare.grid.table import GridCompare
from convnext_edge.commands.rows import Row
from convnext_edge.commands.validate.result import Validate
from convnext_edge.errors import ConvNeXtEdgeError, RecipeError, UsageError
from convnext_edge.evaluation import shards
from convnext_edge.progress import note

OPTIONS: dict[str, Any] = {
    "samples": 4,
    "limit": 40,
    "methods": ["fp32", "ptq"],
    "targets": ["onnxruntime"],
    "runs": 1,
}
# Where the file is, how it was made, and what an earlier run had done.
OF_THE_RUN = {"artifact", "made", "reference_known", "kept"}


# a run on Ray, with a worker that is killed


@pytest.fixture(scope="module")
def start(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with nothing but the exported model."""
    folder = tmp_path_factory.mktemp("start")
    models.copy_exported(folder)
    return folder


class Killer(threading.Thread):
    """Kills the first process of Ray that quantizes, and watches the folder of cells."""

    def __init__(self, cells: Path) -> None:
        super().__init__(daemon=True)
        self.cells, self.killed, self.done = cells, 0, threading.Event()
        self.written: dict[str, set[tuple[int, int]]] = {}

    def run(self) -> None:
        import psutil

        while not self.done.wait(0.05):
            self.look()
            children = [] if self.killed else psutil.Process().children(recursive=True)
            for child in children:
                try:
                    if child.cmdline()[:1] == ["ray::make"]:
                        os.kill(child.pid, signal.SIGKILL)
                        self.killed = child.pid
                        break
                except (psutil.Error, ProcessLookupError):
                    continue

    def look(self) -> None:
        for path in self.cells.glob("*.json"):
            stat = path.stat()
            self.written.setdefault(path.name, set()).add((stat.st_ino, stat.st_mtime_ns))


@contextmanager
def captured(path: Path) -> Iterator[None]:
    """Send what this process and those that it starts write to a file."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with path.open("wb") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            with redirect_stdout(TextIOWrapper(file)) as out, redirect_stderr(out):
                yield
                out.flush()
                out.detach()
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


@dataclass(frozen=True)
class Killed:
    found: GridCompare
    killer: Killer
    said: str  # on standard output and standard error
    changed: dict[str, tuple[object, object]]  # of the process: before and after


@pytest.fixture(scope="module")
def killed(start: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    package("ray", "pip install 'convnext-edge[ray]'")
    package("psutil", "pip install psutil")
    folder = tmp_path_factory.mktemp("ray")
    shutil.copytree(start, folder / "out")
    killer = Killer(folder / "out" / "cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setattr(shards, "SMALLEST", 20)  # images of a share: 40 in batches of 8 are 16 and 24
        before = state()
        killer.start()
        with captured(folder / "said.txt"):
            found = compare(ray="local:2", calib=photos, data=photos, workspace=folder / "out", **OPTIONS)
        after = state()
    killer.done.set()
    killer.join()
    killer.look()
    assert isinstance(found, GridCompare)
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    return Killed(found, killer, (folder / "said.txt").read_text(), changed)


def state() -> dict[str, object]:
    """What a library must leave as it was."""
    return {
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "SIGINT": signal.getsignal(signal.SIGINT),
        "token": (Path.home() / ".ray").exists(),
    }


@pytest.mark.slow(seconds=60)
def test_a_worker_is_killed_and_every_cell_is_complete_once_and_as_without_ray(
    killed: Killed, start: Path, photos: Path
) -> None:
    assert killed.killer.killed
    assert [row["failed"] for row in killed.found.rows] == [None, None]
    assert (killed.found.workers, killed.found.cells, killed.found.failed_cells) == (2, 2, 0)
    written = killed.killer.written
    assert sorted(name.partition("-")[0] for name in written) == [
        *["check"] * 2, *["make"] * 2, *["time"] * 2]  # fmt: skip
    assert all(len(stamps) == 1 for stamps in written.values())
    assert [row["images"] for row in killed.found.rows] == [40, 40]
    alone = compare(calib=photos, data=photos, workspace=start, **OPTIONS)
    assert [numbers(row) for row in killed.found.rows] == [numbers(row) for row in alone.rows]


def test_ray_says_nothing_and_leaves_the_process_as_it_was(killed: Killed) -> None:
    assert (killed.said, killed.changed) == ("", {})


def numbers(row: Row) -> Row:
    """What is no time: the keys of `validate`, and what the file is."""
    timed = Benchmark.__dataclass_fields__.keys() - Validate.__dataclass_fields__.keys()
    own = {"failed", "variant"}  # of rows of a grid
    return {key: value for key, value in row.items() if key not in timed | OF_THE_RUN | own}


# without Ray


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"(?s)needs Ray, which is not installed.*pip install 'convnext-edge\[ray\]'"
    ):
        compare(ray="local", calib="demo", data="demo", workspace=tmp_path)


@pytest.mark.parametrize("address", ["local:0", "local:two", "local:", "localhost", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--ray"):
        check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "cluster", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_where_no_ray_answers_it_is_said_at_once(address: str) -> None:
    with pytest.raises(UsageError, match=f"no Ray is reached at {address}"):
        cluster.knock(address)


@pytest.mark.parametrize("said", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_listens_and_is_no_ray_is_not_waited_for(
    said: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the page of Ray itself, whose port is easily taken for its own."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        if said is not None:
            pool.submit(lambda: server.accept()[0].sendall(said))
        with pytest.raises(UsageError, match="no Ray is reached at"):
            cluster.knock(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node("10.0.0.2", "a", {"torch": "2"}, sees=False), "node 10.0.0.2 does not see the workspace"),
        (Node("10.0.0.2", "a", {"torch": "1"}, sees=True), "10.0.0.2 has torch 1, this machine has 2"),
        (Node("10.0.0.2", "a", {}, sees=True), "10.0.0.2 has torch None, this machine has 2"),
    ],
)
def test_a_node_that_would_give_other_results_is_refused(node: Node, said: str) -> None:
    good = Node("10.0.0.1", "a", {"torch": "2"}, sees=True)
    check_nodes([good], {"torch": "2"}, Path("out"))
    with pytest.raises(UsageError, match=said):
        check_nodes([good, node], {"torch": "2"}, Path("out"))


def test_ray_is_told_to_report_nothing_and_to_take_only_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with environment("local"):
        first = os.environ["RAY_AUTH_TOKEN"]
        assert (os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["RAY_AUTH_MODE"]) == ("0", "token")
    with environment("local:4"):
        assert os.environ["RAY_AUTH_TOKEN"] != first
    with environment("10.0.0.1:6379"):
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        assert "RAY_AUTH_TOKEN" not in os.environ
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_a_step_that_fails_tells_why_and_so_do_those_that_need_it() -> None:
    threads = torch.get_num_threads()

    def fail() -> int:
        note("about to fail")
        raise RecipeError("no such key", hint="Take another.")

    failed = attempt_there(threads, fail)
    assert (failed.failed, failed.hint, failed.notes) == ("no such key", "Take another.", ("about to fail",))
    after = attempt_there(threads, pow, failed, 2)
    assert (after.value, after.failed, after.hint) == (None, "no such key", "Take another.")
    assert attempt_there(threads, pow, Outcome(3), 2).value == 9
    with pytest.raises(ConvNeXtEdgeError, match="no such key"):
        assert after.got
    assert attempt(pow, 0, -1).failed == "ZeroDivisionError: 0.0 cannot be raised to a negative power"
