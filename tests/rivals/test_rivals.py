"""Rivals: a process for each, whose failure is a row, and figures that follow from its answers."""

from __future__ import annotations

import ast
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from convnext_edge.rivals.contenders import Contender, File, Workshop
from convnext_edge.rivals.material import Material
from convnext_edge.rivals.measure import run_all
from convnext_edge.rivals.process import RivalProcess
from convnext_edge.rivals.registry import RIVALS
from convnext_edge.rivals.rival import Given, Rival, Step
from convnext_edge.rivals.rows import RivalRow, judge

PACKAGE = Path(__file__).parents[2] / "convnext_edge" / "rivals"
CLASSES, IMAGES = 5, 6
SECONDS = 20.0  # a process has to import NumPy on a busy machine

# A library that nobody has: its "models" are factors, and what they answer is known beforehand.
FAKE = """
import json, os, sys, time, types
import numpy as np
from convnext_edge.rivals import worker

def make(given, folder, factor=1.0, **options):
    print("a library that prints to standard output")
    if options.get("fails"):
        raise ValueError("no such operator:\\n Gelu")
    if options.get("dies"):
        os._exit(3)
    if options.get("sleeps"):
        time.sleep(60)
    (folder / "factor.json").write_text(json.dumps(factor if given.images().sum() == 6.0 else None))
    return folder / "factor.json"

def run(path, threads, wide=False, nan=False):
    factor = json.loads(path.read_text()) * (np.nan if nan else 1.0)
    return lambda images: images.reshape(len(images), -1)[:, : 6 if wide else 5] * factor

fake = types.ModuleType("fake")
fake.make, fake.run = make, run
sys.modules["convnext_edge.rivals.recipes.fake"] = fake
worker.main()
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """With an environment whose Python knows the library."""
    program, python = tmp_path / "fake.py", tmp_path / "environments" / "fake" / "bin" / "python"
    program.write_text(FAKE)
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    python.chmod(0o755)
    (tmp_path / "made").mkdir()
    return Workshop(tmp_path / "made", tmp_path / "environments", SECONDS)


@pytest.fixture
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Material:
    """Six images that are their own logits, of which the labels are right for four."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parents[1]))
    images = np.random.default_rng(0).standard_normal((IMAGES, 3, 2, 2)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "calibration.npy", np.full((2, 3, 1, 1), 1.0, np.float32))
    logits = images.reshape(IMAGES, -1)[:, :CLASSES]
    labels = logits.argmax(1)
    labels[:2] = (labels[:2] + 1) % CLASSES
    given = Given(*[tmp_path / "none"] * 3, tmp_path / "calibration.npy")
    one = tmp_path / "images.npy"
    return Material(given, {"float32": one}, {"float32": one}, logits, labels.astype(np.int64))


def fake(name: str = "fake", run: dict[str, bool] | None = None, **options: object) -> Contender:
    steps = Step("fake:make", options), Step("fake:run", run or {})
    rival = Rival(
        name, "fake.make()", "https://example.org", "fakes", *steps, "numpy", "fake", runs_there=True
    )
    return Contender(rival)


def test_a_rivals_figures_follow_from_its_answers(workshop: Workshop, material: Material) -> None:
    (row,) = run_all([fake(factor=1.1)], material, workshop, threads=1, runs=3)
    assert row.failed is None
    assert row.sqnr_db == pytest.approx(-20 * math.log10(0.1), abs=1e-4)  # a tenth too much: 20 dB
    assert (row.candidate_top1, row.drop_points, row.agreement) == (pytest.approx(4 / 6), 0.0, 1.0)
    assert row.drop_ci95_points is not None
    assert row.drop_ci95_points[0] < 0 < row.drop_ci95_points[1]
    assert row.version == np.__version__
    assert row.bytes == len("1.1")
    assert row.p50_ms is not None
    assert row.min_ms is not None
    assert row.p99_ms is not None
    assert 0 < row.min_ms <= row.p50_ms <= row.p99_ms
    assert row.throughput_ips == pytest.approx(1000 / row.p50_ms, rel=0.01)


def test_a_rival_that_fails_is_a_row_that_says_how(workshop: Workshop, material: Material) -> None:
    contenders = [
        fake("raises", fails=True),
        fake("dies", dies=True),
        fake("is wide", {"wide": True}),
        fake("is broken", {"nan": True}),
        Contender(
            Rival(
                "is missing", "", "", "fakes", Step("fake:make"), Step("fake:run"), "no-such-package", "none"
            )
        ),
        fake("is float"),
        fake("works", factor=1.1),
    ]
    *failed, works = run_all(contenders, material, workshop, threads=1, runs=1)
    assert [row.failed for row in failed] == [
        "ValueError: no such operator: Gelu",
        "its process ended with exit code 3: a library that prints to standard output",
        "its logits have the shape (6, 6) in place of (6, 5)",
        "it answers with NaN or infinity",
        f"no-such-package is not installed, and there is no {workshop.environments}/none/bin/python:"
        " make rivals (in a clone of the repository) makes the environments of rivals",
        "it answers as FP32 does: nothing was quantized",
    ]
    assert all(row.p50_ms is None for row in failed)
    assert works.failed is None


@pytest.mark.parametrize("content", [b"\x7fELF of another machine", b"#!/no/such/interpreter\n"])
def test_an_environment_whose_python_does_not_start_is_a_row_too(
    workshop: Workshop, material: Material, content: bytes
) -> None:
    python = workshop.environments / "fake" / "bin" / "python"
    python.write_bytes(content)
    (row,) = run_all([fake()], material, workshop, threads=1, runs=1)
    assert row.failed is not None
    assert row.failed.startswith(f"{python} cannot be started: ")


# A process that answers what it is told to; each needs a shell only.
ODD = """#!/bin/sh
while read -r line; do case "$line" in
*'"version"'*) echo '{"version": "1"}';;
*'"make"'*) echo '{"path": "%s", "seconds": 1}';;
*'"answer"'*) %s;;
*'"memory"'*) echo '{"peak_rss_bytes": 1}';;
*'"time"'*) echo '{"milliseconds": %s, "idle_cpu_ms": 0}';;
*'"load"'*) %s;;
*) echo '{}';;
esac; done
"""


NOTHING = "echo '{}'"


@pytest.mark.parametrize(
    ("answer", "time", "load", "said"),
    [
        (NOTHING, "1", NOTHING, "its answers cannot be read"),
        (NOTHING, "1", "exec yes | tr -d '\\n'", "more than 1048576 bytes"),
        ("echo '[]'", "1", NOTHING, "its process answers what this version does not know"),
        (f"cp ../../logits.npy ../answers.npy; {NOTHING}", "0", NOTHING, "must be a number above 0"),
    ],
    ids=["no answers", "without an end", "no object", "no time"],
)
def test_what_no_worker_answers_is_believed_of_none(
    workshop: Workshop, material: Material, answer: str, time: str, load: str, said: str
) -> None:
    """The answers of the contender before it are still there, and are not taken for its own."""
    for path in (workshop.folder.parent / "logits.npy", workshop.folder / "answers.npy"):
        np.save(path, 1.1 * material.reference)
    python = workshop.environments / "fake" / "bin" / "python"
    python.write_text(ODD % (workshop.folder / "answers.npy", answer, time, load))
    (row,) = run_all([fake()], material, workshop, threads=1, runs=1)
    assert row.failed is not None
    assert said in row.failed


def test_a_rival_that_takes_too_long_is_stopped(
    workshop: Workshop, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RivalProcess, "version", lambda *_: "1.0")  # it would wait for NumPy's import
    short = Workshop(workshop.folder, workshop.environments, 1.0)
    (row,) = run_all([fake(sleeps=True)], material, short, threads=1, runs=1)
    assert row.failed == "to make took more than 1 s, and was stopped"


def row(name: str, runtime: str, *, ours: bool, sqnr: float | None, p50: float) -> RivalRow:
    return RivalRow(name, runtime, ours, "", "", sqnr_db=sqnr, p50_ms=p50)


def test_a_rival_stands_against_the_fastest_of_ours_in_its_runtime() -> None:
    rows = [
        row("slow", "openvino", ours=True, sqnr=40.0, p50=20.0),
        row("ours", "openvino", ours=True, sqnr=36.0, p50=10.0),
        row("ours", "onnxruntime", ours=True, sqnr=36.0, p50=5.0),
        row("both", "openvino", ours=False, sqnr=37.0, p50=8.0),
        row("faster", "openvino", ours=False, sqnr=30.0, p50=8.0),
        row("exact", "torch", ours=False, sqnr=None, p50=8.0),
        row("failed", "torch", ours=False, sqnr=None, p50=0.0),
    ]
    times = {number: [float(found.p50_ms or 0)] * 9 for number, found in enumerate(rows[:6])}
    *_, both, faster, exact, failed = (found.against for found in judge(rows, times))
    assert failed is None
    assert both is not None
    assert faster is not None
    assert exact is not None
    assert (both.name, both.times_as_fast, both.beaten) == ("ours in openvino", 1.25, True)
    assert (faster.closer, faster.faster, faster.beaten) == (False, True, False)
    assert (exact.name, exact.times_as_fast, exact.beaten) == ("ours in onnxruntime", 0.625, False)
    assert exact.closer


def functions_of(recipe: str) -> set[str]:
    tree = ast.parse((PACKAGE / "recipes" / f"{recipe}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.label)
def test_each_rival_has_its_functions_and_its_environment(rival: Rival) -> None:
    for step in (rival.make, rival.run):
        recipe, _, function = step.function.partition(":")
        assert function in functions_of(recipe)
    if rival.environment is not None:
        wanted = (PACKAGE / "environments" / f"{rival.environment}.txt").read_text()
        assert f"{rival.package}==" in wanted
    assert rival.source.startswith("https://")


def test_no_two_rivals_share_a_name_in_a_runtime() -> None:
    labels = [rival.label for rival in RIVALS]
    assert len(labels) == len(set(labels)) >= 25


def test_what_a_rivals_environment_needs_of_this_package_is_little() -> None:
    # so that `make rivals` can install the package without what it depends on
    program = "import sys, convnext_edge.rivals.worker; print(*sys.modules)"
    loaded = os.popen(f'"{sys.executable}" -c "{program}"').read().split()
    assert "convnext_edge.rivals.rival" in loaded
    assert not {"torch", "onnx", "pydantic", "click", "PIL"} & set(loaded)


def test_a_file_of_ours_takes_part_as_it_is(workshop: Workshop, material: Material, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text("1.0")
    rival = Rival("ours", "", "", "fakes", Step(""), Step("fake:run"), "numpy", "fake", runs_there=True)
    own = Contender(rival, File(tmp_path / "own.json", 2.5, 3, "1.0"))
    ours, other = run_all([own, fake(factor=2.0)], material, workshop, threads=1, runs=2)
    assert (ours.ours, ours.seconds, ours.against) == (True, 2.5, None)
    assert other.against is not None
    assert (other.against.name, other.against.closer) == ("ours in fakes", False)
