"""The benchmarks are too slow to be run here: they are imported, and of some a part is called.

That what they call exists, and takes what they give, is mypy's to find (`make check-types`).
"""

from __future__ import annotations

import re
import time
from importlib import import_module
from pathlib import Path

import click
import pytest
from support.models import Models
from support.places import ROOT

MEASURE = sorted(path.stem for path in (ROOT / "benchmarks" / "measure").glob("*.py"))
PAGES = ("*.md", "docs/*.md", "benchmarks/**/*.md", "benchmarks/**/*.py", "tests/**/*.py")
# as people call it, and as a script starts another; in a loop of the Makefile, the name follows
NAMED = re.compile(r"-m(?: |\", \")(benchmarks(?:\.\w+)+)(?!\.[${]|\w)")


@pytest.fixture(autouse=True)
def checkout_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.parametrize("name", MEASURE)
def test_a_script_that_measures_is_a_command_with_a_report(name: str) -> None:
    main = import_module(f"benchmarks.measure.{name}").main
    assert {"results", "note", "cpu_name"} <= {option.name for option in main.params}


@pytest.mark.parametrize(
    "name",
    [
        "train_demo",
        "train_models",
        "train_segmenter",
        "train_detector",
        "pack_demo",
        "pack_tiny_imagenet",
        "compose_segments",
        "compose_objects",
        "conformance",
    ],
)
def test_a_script_that_makes_what_the_package_brings_is_a_command(name: str) -> None:
    assert isinstance(import_module(f"benchmarks.make.{name}").main, click.Command)


def test_what_make_bench_runs_is_there_and_named() -> None:
    (names,) = re.findall(r"for name in (.*?);", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(names.split()) <= set(MEASURE)
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `(\w+)\.py` \| (yes|no) \|", page, re.MULTILINE))
    assert sorted(named) == MEASURE
    assert {name for name, told in named.items() if told == "yes"} == set(names.split())


def test_a_bar_is_told_in_figures_that_people_read() -> None:
    from benchmarks.make.tables import bar_cells

    missed = {"name": "ReLU", "value": 1.111, "at_least": 1 / 0.9, "passed": False}
    assert bar_cells(missed) == ["ReLU", "1.111", ">= 1.1111", "**no**"]
    memory = {"name": "peak", "value": 1.5e9, "at_most": 2**32, "passed": True}
    assert bar_cells(memory) == ["peak", "1,500,000,000", "<= 4,294,967,296", "yes"]


def test_the_readme_of_the_benchmarks_lists_all_that_measure() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)\.py` \|", page.split("| makes |")[0], re.MULTILINE)) == MEASURE


def test_every_script_that_a_text_names_is_there() -> None:
    texts = [ROOT / "Makefile", *(p for part in PAGES for p in ROOT.glob(part))]
    named = {name for path in texts for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > len(MEASURE)
    gone = [name for name in sorted(named) if not (ROOT / f"{name.replace('.', '/')}.py").exists()]
    assert not gone


def test_silence_is_measured_of_every_command_with_options_that_it_has() -> None:
    from benchmarks.measure.silence import commands
    from convnext_edge.cli import main

    tried = commands("tiny")
    assert set(tried) == set(main.list_commands(click.Context(main)))
    for name, (called, *words) in tried.items():
        assert called == name
        assert wanted_options(words) <= options_of(name), name


def test_fine_tuning_is_killed_with_options_that_it_has() -> None:
    from benchmarks.measure.kill_resume import command

    _, _, program, called, *words = command(Path("folder"))
    assert (program, called) == ("convnext_edge", "finetune")
    assert wanted_options(words) <= options_of("finetune")


def wanted_options(words: list[object]) -> set[str]:
    return {str(word) for word in words if str(word).startswith("-")}


def options_of(name: str) -> set[str]:
    from convnext_edge.cli import main

    command = main.get_command(click.Context(main), name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}


def test_recipes_are_timed_on_images_of_the_type_that_the_models_take(models: Models) -> None:
    from benchmarks.measure.recipes import time_all
    from convnext_edge.artifacts.store import open_artifact

    exported = open_artifact(models.exported("uint8"))
    times = time_all("onnxruntime", {"once": exported, "again": exported}, runs=2)
    assert list(times) == ["once", "again"]
    assert [len(column) for column in times.values()] == [2, 2]
    assert min(map(min, times.values())) > 0  # milliseconds


def test_a_turn_of_python_is_the_time_of_a_call_of_the_embedded_engine(models: Models) -> None:
    from benchmarks.measure.embed import python_turn
    from benchmarks.support.embedding import Embedded

    engine = models.engine("onnxruntime", models.exported("uint8"))
    started = time.perf_counter()
    with python_turn(Embedded("small", "onnxruntime", engine, engine.parent)) as turn:
        milliseconds = turn()
    assert 0 < milliseconds < 1000 * (time.perf_counter() - started)
