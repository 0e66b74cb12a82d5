"""What a program for 64-bit ARM executes under QEMU: instructions by class, and by operator of a model.

This is a simulation. QEMU translates each instruction and knows no caches and no pipelines: what is counted
is work, and no time follows from it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).parent / "arm64"
COMPILER = "aarch64-linux-gnu-g++"
Counts = dict[str, int]  # instructions by class, as count.c names them
# An ARM CPU by the INT8 products that it has; of `max`, vectors of 128 bits are those of today's CPUs.
CPUS = {
    "asimd": "cortex-a72",
    "asimddp": "cortex-a76",
    "i8mm": "max,sve-default-vector-length=16,sme=off",
}
IMAGE_ENDS = 7  # CLOCK_BOOTTIME
# What Linux tells of these CPUs in /proc/cpuinfo, beside what all of them have: ONNX Runtime goes by it.
FEATURES = {
    "asimd": "",
    "asimddp": " atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    "i8mm": " atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp sve i8mm",
}
PARTS = {"asimd": "0xd08", "asimddp": "0xd0b", "i8mm": "0xd49"}
CPUINFO = """\
processor	: 0
Features	: fp asimd aes pmull sha1 sha2 crc32{features}
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: {part}
CPU revision	: 1

"""
SYSROOT = Path("/usr/aarch64-linux-gnu")  # of Debian's cross compiler


def build_plugin(folder: Path) -> Path:
    """Compile the plugin that counts, for the QEMU of this machine."""
    plugin = folder / "libcount.so"
    options = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run(["gcc", *options, SOURCES / "count.c", "-o", plugin], check=True)
    return plugin


@dataclass(frozen=True)
class Marked:
    """The counts when the program read a clock, with its number and the host's time; and those of its end."""

    clocks: list[int]
    nanoseconds: list[int]
    counts: list[Counts]
    output: bytes = b""  # what the program printed

    @property
    def total(self) -> Counts:
        return self.counts[-1]

    @property
    def image(self) -> Counts:
        """What an image executes, the mean of all but the first; the programs in arm64/ mark their ends."""
        ends = [counts for clock, counts in zip(self.clocks, self.counts, strict=True) if clock == IMAGE_ENDS]
        return difference(ends[-1], ends[0], images=len(ends) - 1)


def emulator_version() -> str:
    told = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, check=True).stdout
    return told.decode().splitlines()[0]


def simulated_on(cpus: Sequence[str]) -> dict[str, object]:
    """What a report says of how instructions were counted."""
    return {
        "simulation": "instructions executed under QEMU, not milliseconds",
        "emulator": emulator_version(),
        "cpus": {cpu: CPUS[cpu] for cpu in cpus},
    }


@dataclass(frozen=True)
class Emulator:
    """QEMU with the plugin. place: folder for its roots, of ARM's C library and each CPU's /proc/cpuinfo."""

    plugin: Path
    place: Path
    libraries: Path | None = None  # where the program finds its own

    def count(self, cpu: str, *command: str | Path, marks: bool = False, given: bytes = b"") -> Marked:
        """Run a program, and return what it executed: in all, and at each mark where wanted."""
        with tempfile.TemporaryDirectory() as folder:
            counts = Path(folder) / "counts.txt"
            plugin = f"{self.plugin},counts={counts}" + (",marks=on" if marks else "")
            output = self.run(cpu, *command, options=("-plugin", plugin), given=given)
            header, *lines = counts.read_text(encoding="utf-8").splitlines()
        rows = [[int(word) for word in line.split()] for line in lines]
        names = header.split()[2:]
        found = [dict(zip(names, row[2:], strict=True)) for row in rows]
        return Marked([row[0] for row in rows], [row[1] for row in rows], found, output)

    def run(self, cpu: str, *command: str | Path, options: Sequence[str] = (), given: bytes = b"") -> bytes:
        """Run a program, and return its standard output. given: its standard input."""
        where = ("-E", f"LD_LIBRARY_PATH={self.libraries}") if self.libraries else ()
        call = ["qemu-aarch64", *options, "-cpu", CPUS[cpu], "-L", str(self._root(cpu)), *where]
        done = subprocess.run([*call, *map(str, command)], input=given, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise RuntimeError(f"{command[0]} on {cpu} failed: {said[-1000:]}")
        return done.stdout

    def _root(self, cpu: str) -> Path:
        root = self.place / f"root-{cpu}"
        (root / "proc").mkdir(parents=True, exist_ok=True)
        info = CPUINFO.format(features=FEATURES[cpu], part=PARTS[cpu])
        (root / "proc" / "cpuinfo").write_text(info, encoding="utf-8")
        if not (root / "lib").exists():
            (root / "lib").symlink_to(SYSROOT / "lib")
        return root


def difference(after: Counts, before: Counts, *, images: int = 1) -> Counts:
    """What was executed between two counts, for each of `images`."""
    return {name: round((value - before[name]) / images) for name, value in after.items()}


def added(counts: Iterable[Counts]) -> Counts:
    sums: Counts = defaultdict(int)
    for each in counts:
        for name, value in each.items():
            sums[name] += value
    return dict(sums)


@dataclass(frozen=True)
class Node:
    """A node of a model as a profiler saw it; times in microseconds."""

    operator: str
    duration: float
    start: float | None = None  # since any moment; None where the profiler does not tell


@dataclass
class Operators:
    """What the nodes of one image executed, by operator; `nodes` says how many there are of each."""

    counts: dict[str, Counts] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)

    def add(self, operator: str, counts: Counts) -> None:
        self.counts[operator] = added([self.counts.get(operator, {}), counts])
        self.nodes[operator] = self.nodes.get(operator, 0) + 1


def onnxruntime_nodes(profile: Path) -> list[Node]:
    """The nodes of all images, in the order in which they ran."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    nodes = [event for event in events if event["name"].endswith("_kernel_time")]
    nodes.sort(key=lambda event: event["ts"])
    return [Node(event["args"]["op_name"], event["dur"], event["ts"]) for event in nodes]


def openvino_nodes(profile: Path) -> list[Node]:
    """The nodes of the last image, in the order in which they ran."""
    lines = (line.split(" ", 3) for line in profile.read_text(encoding="utf-8").splitlines())
    return [Node(f"{kind} {primitive}", float(microseconds)) for microseconds, kind, primitive, _ in lines]


def by_operator(marked: Marked, nodes: Sequence[Node], *, images: int) -> Operators:
    """Split the counts of the last image by operator.

    A profiler reads the clock before each node and behind it, which made the marks.
    """
    starts = [node.start for node in nodes]
    pairs = pairs_by_time(marked, nodes) if None not in starts else pairs_by_order(marked, nodes)
    last = len(nodes) // images if None not in starts else len(nodes)
    found = Operators()
    for node, (first, second) in list(zip(nodes, pairs, strict=True))[-last:]:
        found.add(node.operator, difference(marked.counts[second], marked.counts[first]))
    return found


def pairs_by_time(marked: Marked, nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """The marks nearest to start and end of each node: its clock is the host's, from another moment on."""
    times = [nanoseconds / 1000 for nanoseconds in marked.nanoseconds[:-1]]
    starts = [node.start or 0.0 for node in nodes]

    def nearest(time: float) -> int:
        place = bisect_left(times, time)
        return min((max(place - 1, 0), min(place, len(times) - 1)), key=lambda at: abs(times[at] - time))

    def errors(offset: float) -> list[float]:
        return sorted(abs(times[nearest(start + offset)] - start - offset) for start in starts)

    offset = min(
        (time - starts[0] for time in times), key=lambda moment: errors(moment)[len(starts) * 9 // 10]
    )
    return [
        (nearest(start + offset), nearest(start + offset + node.duration))
        for start, node in zip(starts, nodes, strict=True)
    ]


def pairs_by_order(marked: Marked, nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Two marks for each node, from where the times between them are closest to what the nodes took."""
    times = [nanoseconds / 1000 for nanoseconds in marked.nanoseconds[:-1]]
    wanted = 2 * len(nodes)

    def error(first: int) -> float:
        spans = (times[first + 2 * i + 1] - times[first + 2 * i] for i in range(len(nodes)))
        return sum(abs(span - node.duration) for span, node in zip(spans, nodes, strict=True))

    begin = min(range(max(0, len(times) - wanted - 64), len(times) - wanted + 1), key=error)
    return [(begin + 2 * i, begin + 2 * i + 1) for i in range(len(nodes))]
