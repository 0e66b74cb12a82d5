"""The benchmarks are too slow to be run here: they are imported, so that what they call has to exist."""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest
from support.places import ROOT

MEASURE = sorted(path.stem for path in (ROOT / "benchmarks" / "measure").glob("*.py"))


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


def test_what_make_bench_runs_is_there() -> None:
    (names,) = re.findall(r"for name in (.*?);", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(names.split()) <= set(MEASURE)


def test_the_readme_of_the_benchmarks_lists_all_that_measure() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)\.py` \|", page.split("| makes |")[0], re.MULTILINE)) == MEASURE
