"""Ray: started on this machine or reached elsewhere, quiet, and left as it was found.

Nothing of Ray's is printed, and nothing is reported to its makers. What is started here listens on this
machine, takes only who has its token, keeps its files in a temporary folder, and is gone at the end.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

from convnext_edge.artifacts.files import TEMPORARY
from convnext_edge.artifacts.provenance import tool_versions
from convnext_edge.artifacts.scratch import scratch_folder
from convnext_edge.cpu import read_cpu, usable_cpus
from convnext_edge.errors import UsageError
from convnext_edge.guest import at_level, replaced, variables_set, without_traces
from convnext_edge.progress import note
from convnext_edge.quiet import importing

RESOURCE = "convnext_edge"  # each node has 1: timing takes all of it, all other tasks a little
SHARE = 0.001
FEWEST = 2  # workers of `local`, as cells beside each other are what it is for
LOCAL = "local"
REPEATS = "Task "  # how lines begin that tell again that a worker ended
LONGEST_NOTE = 200  # characters
SET_BY_RAY = ("PYTHONBREAKPOINT",)  # and names that `without_traces` knows
LONGEST = 20  # characters of a temporary folder: sockets are below it, whose paths have 107 at most
# The usage report is sent by the process that starts Ray; the token is what its processes know each other by.
SWITCHES = {"RAY_USAGE_STATS_ENABLED": "0"}
PATIENCE = 10.0  # seconds in which a cluster must answer
TLS = "RAY_USE_TLS"  # of Ray: its servers answer encrypted calls alone
FRAME_HEADER, SETTINGS = 9, 4  # of HTTP/2: bytes before each frame, and the kind of one, which is the fourth
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
INSTALL = "pip install 'convnext-edge[ray]'"
START = f"Start each node with: ray start ... --resources='{{\"{RESOURCE}\": 1}}'"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, as a task on it sees it."""

    name: str  # its address
    cpu: str
    tools: dict[str, str]
    sees: bool  # whether the workspace is the same folder there


def check_address(address: str) -> None:
    """Raise UsageError for an address that is none, and where Ray is not installed."""
    number = address.removeprefix(f"{LOCAL}:")
    if address.startswith(LOCAL) and address != LOCAL and not (number.isdecimal() and int(number) > 0):
        raise UsageError(
            f"--ray {address} is no number of workers",
            hint=f"Take {LOCAL}, {LOCAL}:N for N workers, or HOST:PORT.",
        )
    if not address:
        raise UsageError("--ray has no address", hint=f"Take {LOCAL} or HOST:PORT.")
    if util.find_spec("ray") is None:
        raise UsageError("--ray needs Ray, which is not installed", hint=f"Install it: {INSTALL}")


def load_ray() -> ModuleType:
    """Return Ray's module."""
    with importing("ray"):
        return import_module("ray")


def read_settings() -> None:
    """Let Ray read the environment: it did when it was first imported, which a host may have done before."""
    # as Ray itself does where it changes the environment; a version without these reads it as it starts
    with suppress(ImportError, AttributeError):
        raylet = import_module("ray._raylet")
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def connected(address: str, workspace: Path, threads: int) -> Iterator[tuple[ModuleType, list[Node]]]:
    """Yield Ray, and the nodes that cells may run on. threads: that each task takes.

    Raises UsageError where Ray cannot be reached, and where a node has not what cells need.
    """
    with ExitStack() as stack:
        stack.enter_context(without_traces())
        stack.enter_context(at_level(logging.getLogger("ray"), logging.ERROR))
        ray = load_ray()
        if ray.is_initialized():
            raise UsageError(
                "this process is connected to Ray already",
                hint="Call ray.shutdown() before compare(ray=...).",
            )
        stack.callback(read_settings)
        stack.enter_context(environment(address))
        read_settings()
        stack.enter_context(prints_noted(ray))
        folder = stack.enter_context(short_folder()) if is_local(address) else None
        stack.callback(ray.shutdown)
        with signals_kept():
            reach(ray, address) if folder is None else start(
                ray, workers_of(address, threads) * threads, folder
            )
        yield ray, look_at_nodes(ray, workspace, threads) if folder is None else [here()]


def is_local(address: str) -> bool:
    """Return whether Ray is to be started on this machine."""
    return address == LOCAL or address.startswith(f"{LOCAL}:")


def workers_of(address: str, threads: int) -> int:
    """Return how many workers `local` or `local:N` has, by default as many as CPUs allow, but two."""
    return int(address.partition(":")[2] or max(usable_cpus() // threads, FEWEST))


def start(ray: ModuleType, cpus: int, folder: Path) -> None:
    """Start Ray on this machine, for tasks that take that many CPUs together."""
    try:
        ray.init(
            num_cpus=cpus,
            num_gpus=0,
            resources={RESOURCE: 1},
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=str(folder),
        )
    except Exception as error:  # Ray has no base class for what may go wrong here
        raise UsageError(
            f"Ray does not start: {error}", hint="Leave --ray out to work without it."
        ) from error


def reach(ray: ModuleType, address: str) -> None:
    """Connect to a cluster."""
    knock(address)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:
        raise not_reached(address, error) from error


def knock(address: str) -> None:
    """Raise UsageError where nothing answers at HOST:PORT as Ray does: Ray itself tries for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^\s/]+?)\]?:(\d+)", address)
    try:
        if found is None:
            raise OSError("it is not HOST:PORT")
        with socket.create_connection((found[1], int(found[2])), timeout=PATIENCE) as there:
            if os.environ.get(TLS) != "1" and not speaks_grpc(there):
                raise OSError("what listens there is no Ray")
    except (OSError, OverflowError) as error:
        raise not_reached(address, error) from error


def speaks_grpc(there: socket.socket) -> bool:
    """Return whether a server speaks HTTP/2, as gRPC does: its first frame has settings (RFC 9113, 3.4)."""
    there.sendall(PREFACE)
    said = b""
    while len(said) < FRAME_HEADER and (more := there.recv(FRAME_HEADER - len(said))):
        said += more
    return len(said) == FRAME_HEADER and said[3] == SETTINGS


def not_reached(address: str, error: Exception) -> UsageError:
    """Return the error that says why no Ray is reached."""
    return UsageError(
        f"no Ray is reached at {address}: {error}",
        hint=f"Give the address that `ray start --head` printed, or `{LOCAL}`.",
    )


def look_at_nodes(ray: ModuleType, workspace: Path, threads: int) -> list[Node]:
    """Return the nodes; raise UsageError where one lacks CPUs or the workspace, or has other versions."""
    nodes = [node for node in ray.nodes() if node["Alive"] and RESOURCE in node["Resources"]]
    if not nodes:
        raise UsageError(f"no node of the cluster has the resource {RESOURCE}", hint=START)
    for node in nodes:
        if node["Resources"].get("CPU", 0) < threads:
            raise UsageError(
                f"node {node['NodeManagerAddress']} has fewer CPUs than the {threads} threads of a cell",
                hint="Set OMP_NUM_THREADS to fewer threads; numbers differ by it in their last digits.",
            )
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=workspace, prefix=".convnext-edge-seen-") as mark:
        found = ask(ray, nodes, Path(mark.name))
    check_nodes(found, tool_versions(), workspace)
    return found


def ask(ray: ModuleType, nodes: Sequence[dict[str, Any]], mark: Path) -> list[Node]:
    """Return what a task on each node sees."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    task = ray.remote(num_cpus=0)(look)
    asked = [
        task.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(
            node["NodeManagerAddress"], mark
        )
        for node in nodes
    ]
    try:
        found: list[Node] = ray.get(asked)
    except Exception as error:
        raise UsageError(
            f"a node of the cluster cannot work for us: {str(error).strip().splitlines()[-1]}",
            hint="Install the same convnext-edge on every node, for the same Python.",
        ) from error
    return found


def look(name: str, mark: Path) -> Node:
    """Return what this process sees of its machine."""
    return Node(name, read_cpu().name, tool_versions(), mark.exists())


def here() -> Node:
    """Return this machine."""
    return Node(LOCAL, read_cpu().name, tool_versions(), sees=True)


def check_nodes(nodes: Sequence[Node], tools: dict[str, str], workspace: Path) -> None:
    """Raise UsageError for a node that would give other results, or has no place for them."""
    for node in nodes:
        if not node.sees:
            raise UsageError(
                f"node {node.name} does not see the workspace {workspace}",
                hint="Put the workspace, images and checkpoints on a disk that all nodes have at one path.",
            )
        for tool in sorted(tools.keys() | node.tools.keys()):
            if tools.get(tool) != node.tools.get(tool):
                raise UsageError(
                    f"node {node.name} has {tool} {node.tools.get(tool)}, this machine has {tools.get(tool)}",
                    hint="Install the same versions on every node.",
                )


@contextmanager
def environment(address: str) -> Iterator[None]:
    """Let Ray's processes report nothing and know each other by a token; ours are as before at the end."""
    wanted = dict(SWITCHES)
    if is_local(address):
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with variables_set(wanted, others=SET_BY_RAY):
        yield


@contextmanager
def prints_noted(ray: ModuleType) -> Iterator[None]:
    """Let what Ray prints to the standard output of a host be notes, such as that a worker ended."""

    def tell(data: Mapping[str, Any], *_: object, **__: object) -> None:
        for line in data.get("lines", ()):
            sentence = str(line).partition(". ")[0].strip()
            if sentence and not sentence.startswith(REPEATS):
                note(f"Ray: {sentence[:LONGEST_NOTE]}")

    with replaced(ray._private.worker, "print_to_stdstream", tell):
        yield


@contextmanager
def signals_kept() -> Iterator[None]:
    """Give signals back to whoever had them: Ray takes SIGTERM when it starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder for Ray's files, whose path leaves room for the names of sockets."""
    place = tempfile.gettempdir()
    with scratch_folder(Path(place if len(place) <= LONGEST else "/tmp"), TEMPORARY) as folder:
        yield folder
