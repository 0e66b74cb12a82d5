"""The rivals of `compare --rivals`: what they start from, and the tables that show them beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.compare.contest import Contest
from convnext_edge.commands.preparation import Images, calibration_images
from convnext_edge.commands.rows import Row
from convnext_edge.commands.text import digits, fold, size_of, table
from convnext_edge.errors import UsageError
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.targets.registry import find_target

if TYPE_CHECKING:
    from convnext_edge.images.image_set import ImageSet
    from convnext_edge.quantization.start import Start
    from convnext_edge.rivals.contenders import Contender
    from convnext_edge.rivals.rows import RivalRow

CLOSE = ("", "top-1", "drop", "95 %", "agree", "SQNR dB", "against ours")
FAST = ("", "p50 ms", "p99 ms", "images/s", "file", "memory", "made in")
LEGEND = (
    "drop: points of top-1, with its interval; agree: same top-1; against ours: times as fast as the fastest"
    " of ours in the same runtime (in any, where we have none there); closer: with a higher SQNR; !: faster"
    " and closer; made in: time to quantize"
)


@dataclass(frozen=True)
class Asked:
    """What the options say of rivals."""

    rivals: bool  # whether any take part
    names: Sequence[str]  # of those that do; all where there are none
    environments: AnyPath  # the folder that holds theirs
    minutes: int  # longest time that a step of a rival may take

    def check(self, on: str | None) -> None:
        """Raise UsageError for a name that is none, and for rivals on a device."""
        if not self.rivals:
            return
        from convnext_edge.rivals.registry import find_rivals

        find_rivals(self.names)
        if on is not None:
            raise UsageError("--rivals run on this machine, not on a device", hint="Leave --on out.")

    def check_task(self, start: Start) -> Start:
        """Return the model; raise UsageError for one whose rivals cannot be compared."""
        task = start.source.task
        if self.rivals and task != "classify":
            raise UsageError(
                f"--rivals compare classifiers, and the task of this model is {task}",
                hint="Leave --rivals out.",
            )
        return start


def race(contest: Contest, start: Start, rows: Sequence[Row], asked: Asked) -> tuple[RivalRow, ...]:
    """Let rivals take part beside the engines of `rows`; return what is known of each, ours first.

    Where no rivals were asked for, there is nobody to tell of.
    """
    if not asked.rivals:
        return ()
    from convnext_edge.evaluation.candidates import reference_threads
    from convnext_edge.evaluation.kept_answers import kept_answers
    from convnext_edge.rivals.contenders import Contender, Workshop
    from convnext_edge.rivals.material import prepare
    from convnext_edge.rivals.measure import run_all
    from convnext_edge.rivals.registry import find_rivals
    from convnext_edge.targets.torch import TorchSession

    work = contest.work
    source, space = start.source, Workspace(work.workspace)
    run = TorchSession(source.reference, reference_threads(source)).run_all
    images = calibration_images(Images(work.calib, work.samples, work.data_root), work.seed)
    with temporary_folder() as folder:
        data = evaluation_images(contest, start)
        # `validate` has asked the reference for these images already
        with kept_answers(run, start.artifact, space) as reference:
            material = prepare(source, start.weights, images, data, reference=reference, folder=folder)
        workshop = Workshop(folder, Path(asked.environments), 60 * asked.minutes)
        contenders = [*(engine(row, contest) for row in rows), *map(Contender, find_rivals(asked.names))]
        return tuple(run_all(contenders, material, workshop, threads=work.threads, runs=work.runs))


def evaluation_images(contest: Contest, start: Start) -> ImageSet:
    """Return the images that `validate` compares on."""
    from convnext_edge.checkpoints.class_order import Numbering
    from convnext_edge.images.opening import open_image_set

    work = contest.work
    number = Numbering(work.class_order, as_path(work.classes)).for_model(start.artifact.description)
    images = number(open_image_set(work.data, data_root=work.data_root, split="evaluation"))
    return images.subset(work.limit, work.seed)


def engine(row: Row, contest: Contest) -> Contender:
    """Return an engine of ours as a contender."""
    from convnext_edge.rivals.contenders import Contender, File, size
    from convnext_edge.rivals.rival import Rival, Step

    path, method, target = Path(row["artifact"]), Path(row["method"]).stem, row["target"]
    name = "ours" if method == "ptq" else f"ours {method}"
    command = f"convnext-edge quantize --target {target} --method {method}; convnext-edge build"
    package = find_target(target).package
    rival = Rival(name, command, "docs/quantize.md", target, Step(""), Step("ours:run"), package)
    file = File(path.absolute(), contest.seconds[path], size(path), row["runtime_version"])
    return Contender(rival, file, open_artifact(path).description.input_type)


def tables(rows: Sequence[RivalRow]) -> str:
    """Return a table of how close contenders are, one of how fast, and what is said of those that failed."""
    worked = [row for row in rows if row.failed is None]
    failed = [fold(f"{row.label} failed: {row.failed}") for row in rows if row.failed is not None]
    shown = ((CLOSE, closeness), (FAST, speed))
    parts = [table([titles, *grouped(worked, cells)]) for titles, cells in shown] + [fold(LEGEND)]
    return "\n\n".join(parts) + "".join(f"\n{text}" for text in failed)


def grouped(
    rows: Sequence[RivalRow], cells: Callable[[RivalRow], tuple[str, ...]]
) -> Iterator[tuple[str, ...]]:
    """Yield the cells of rows by runtime, behind a line that names it."""
    for runtime in dict.fromkeys(row.runtime for row in rows):
        yield (f"in {runtime}", *[""] * (len(CLOSE) - 1))
        yield from ((f"  {row.name}", *cells(row)) for row in rows if row.runtime == runtime)


def closeness(row: RivalRow) -> tuple[str, ...]:
    """Return the cells that tell how close a contender is, and how it stands against ours."""
    interval = "" if row.drop_ci95_points is None else "{:+.2f} {:+.2f}".format(*row.drop_ci95_points)
    return (
        "" if row.candidate_top1 is None else f"{row.candidate_top1:.1%}",
        "" if row.drop_points is None else f"{row.drop_points:+.2f}",
        interval,
        f"{row.agreement:.1%}",
        "exact" if row.sqnr_db is None else digits(row.sqnr_db),
        against(row),
    )


def against(row: RivalRow) -> str:
    """Return how a rival stands against ours."""
    found = row.against
    if found is None:
        return ""
    return f"{found.times_as_fast:.2f}x" + ", closer" * found.closer + " !" * found.beaten


def speed(row: RivalRow) -> tuple[str, ...]:
    """Return the cells that tell how fast and how large a contender is."""
    return (
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        f"{row.throughput_ips:.1f}",
        size_of(row.bytes or 0),
        "" if row.peak_rss_bytes is None else size_of(row.peak_rss_bytes),
        f"{row.seconds:.1f} s",
    )
