"""What the README and `docs` print, run as printed: commands in one folder, page by page, and the Python."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from support.command_line import commands_in, run
from support.local_hub import LocalHub
from support.places import ROOT
from support.readme import CPP, NAMES, PAGES, README, blocks, commands

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.quantization.recipe import Recipe, read_recipe

# tests/commands/test_demo.py runs it without a network, and test_embed_cpp_folder.py what `CPP` tells.
DEMO = "convnext-edge demo"
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # unless asked for
NEWEST = ("convnext-edge build", "convnext-edge validate --data my-images")
RECIPE = blocks("toml", PAGES["quantize.md"])[0]
PROGRAM = Path(sys.executable).with_name("convnext-edge")
# Blocks of the published widths; more of them would take long to trace, and tell no more.
FEWER = replace(SIZES["tiny"], depths=(1, 1, 2, 1))


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A stand-in for the download of ConvNeXt-T: `FEWER` blocks, random weights, and small images."""
    torch.manual_seed(0)
    weights = ConvNeXt(FEWER).state_dict()
    config = {
        "architecture": "convnext_tiny",
        "num_classes": 1000,
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "interpolation": "bicubic",
            "crop_pct": 0.875,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    }
    files = {"model.safetensors": save(weights), "config.json": json.dumps(config).encode()}
    served = LocalHub(find_variant("tiny").source, files)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: with a checkpoint, images, a recipe and an ImageNet folder."""
    here = tmp_path_factory.mktemp("reader")
    small = Architecture((1, 1, 2, 1), (24, 48, 96, 192), classes=10)  # wide enough for INT8 to be faster
    torch.save({"model": ConvNeXt(small).state_dict()}, here / "my-convnext.pth")
    (here / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    save_photo(here / "photo.jpg", 0)
    for number in range(120):
        save_photo(here / "my-images" / f"class{number % 10}" / f"{number}.jpg", number)
    stand_in_for_npm(here / "node_modules" / "onnxruntime-web")
    names = [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, 9)]
    for number, name in enumerate(names):
        save_photo(here / "data" / "imagenet_val" / name, number)
    labels = "".join(f"{name} {number}\n" for number, name in enumerate(names))
    (here / "data" / "imagenet_val" / "val_map.txt").write_text(labels, encoding="utf-8")
    return here


def save_photo(path: Path, seed: int) -> None:
    """A picture as smooth as a photograph, and small: it is decoded again and again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    Image.fromarray(colours).resize((100, 80), Image.Resampling.BICUBIC).save(path)


def stand_in_for_npm(package: Path) -> None:
    """What `embed` looks at of onnxruntime-web: a stand-in for what `npm install` brings."""
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text(
        '{"name": "onnxruntime-web", "version": "1.30.0"}', encoding="utf-8"
    )
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (package / "dist" / name).touch()


def environment(folder: Path) -> dict[str, str]:
    return {
        "CONVNEXT_EDGE_DATA": str(folder / "data"),
        "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
    }


def run_in_the_shell(command: str, folder: Path) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **environment(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def reader(folder: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that this process now stands in: it has loaded what each new one would load for seconds."""
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    served = template.replace(huggingface_hub.constants.ENDPOINT, hub.endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", served)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setitem(SIZES, "tiny", FEWER)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    with commands_in(folder, monkeypatch):
        yield folder


@pytest.mark.slow(seconds=85)
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if commands(page)])
def test_the_commands_work_as_printed(reader: Path, name: str) -> None:
    ours = [shlex.split(line) for line in commands(PAGES[name]) if line != DEMO and not line.startswith(CPP)]
    assert ours
    for program, *arguments in ours:
        if program != PROGRAM.name:
            run_in_the_shell(shlex.join([program, *arguments]), reader)
            continue
        done = run(*arguments)
        # random weights have no accuracy to keep: that gate alone may be missed
        allowed = (0, 3) if "--max-drop" in arguments else (0,)
        assert done.exit_code in allowed, f"{arguments}\n{done.output}"


def test_no_command_is_printed_twice() -> None:
    """Each costs seconds here. Those of NEWEST take what was made last: on each page another model."""
    seen = [line for page in PAGES.values() for line in commands(page) if line not in NEWEST]
    assert len(seen) == len(set(seen)) >= 20


@pytest.mark.slow(seconds=85)
def test_the_last_command_works_in_a_shell(folder: Path) -> None:
    assert (folder / "convnext-edge-out" / "tiny-int8-openvino.onnx").is_file(), "the test above comes first"
    assert run_in_the_shell("convnext-edge report", folder)


@pytest.mark.slow(seconds=85)
def test_the_python_works_as_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    (code,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    shown, said = capfd.readouterr()
    # what Python would show as well, where nobody set up logging or warnings
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    warned = [found for found in recwarn if not issubclass(found.category, HIDDEN)]
    assert (said, logged, warned) == ("", [], [])
    busy = r"(The speedup is NOT to be relied on: .+\n)?"  # as the other tests may make the machine
    assert re.fullmatch(rf"[\d.]+% agreement, [\d.]+ dB, [\d.]+x\n{busy}", shown)


def test_the_recipe_is_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    assert read_recipe(path, Recipe()) != Recipe()


def test_the_measured_tables_are_those_of_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.make.tables import filled

    pages = filled()
    fronts = {ROOT / "README.md", ROOT / "benchmarks" / "README.md"}
    assert set(pages) == fronts | {ROOT / "docs" / name for name in ("rivals.md", "table.md", "targets.md")}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m benchmarks.make.tables"


def test_every_command_is_in_the_table() -> None:
    from convnext_edge.cli import main

    table = PAGES["command-line.md"].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)


def test_the_index_has_all_pages() -> None:
    assert sorted(NAMES) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_the_links_of_a_page_lead_somewhere(name: str) -> None:
    folder = ROOT if name == "README.md" else ROOT / "docs"
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", PAGES[name]):
        path = folder / target if target else folder / name
        assert path.exists(), target
        headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, f"{target}#{anchor}"


def test_the_front_page_stays_short() -> None:
    assert len(README.encode()) < 9_000, "reference belongs to docs"


def test_the_program_is_installed() -> None:
    assert shutil.which(str(PROGRAM)), "install the package: make env"
