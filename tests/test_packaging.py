"""The wheel as a user gets it: built through the source archive, installed and run away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.places import ROOT

from convnext_edge.version import __version__

pytestmark = pytest.mark.slow

SCRIPTS = "Scripts" if os.name == "nt" else "bin"
COUNT_DEMO_IMAGES = """\
import convnext_edge
from convnext_edge.images.opening import open_image_set
print(convnext_edge.__file__)
print(*(len(open_image_set("demo", split=split)) for split in ("calibration", "evaluation")))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel. `build` makes the source archive first, and the wheel from nothing else."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def members(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which borrows all other packages from that of the tests."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, with_pip=False)
    python = environment / SCRIPTS / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=environment)
    # A folder that a .pth file adds has its own .pth files ignored: the editable install stays out.
    (site_packages,) = environment.glob("**/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return environment


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of `command`, which must succeed and sees no setting of Python's own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_below(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_its_data_and_nothing_else(members: set[str]) -> None:
    package = {f"convnext_edge/{name}" for name in files_below(ROOT / "convnext_edge")}
    brought = {name for name in files_below(ROOT / "calibration") if not name.startswith("models/")}
    data = {f"convnext_edge/_calibration/{name}" for name in brought}
    metadata = {name for name in members if name.startswith(f"convnext_edge-{__version__}.dist-info/")}
    assert "convnext_edge/py.typed" in package
    assert {f"convnext_edge/_calibration/{name}.toml" for name in ("demo", "imagenet_val")} <= data
    assert members - metadata == package | data


def test_the_wheel_names_its_license_and_its_command(wheel: Path) -> None:
    folder = f"convnext_edge-{__version__}.dist-info"
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"{folder}/METADATA").decode()
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(f"{folder}/entry_points.txt").decode())
        assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert dict(entry_points["console_scripts"]) == {"convnext-edge": "convnext_edge.__main__:main"}


def test_the_page_of_the_wheel_has_no_link_that_leads_nowhere(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        page = archive.read(f"convnext_edge-{__version__}.dist-info/METADATA").decode().partition("\n\n")[2]
    assert page.startswith("# convnext-edge\n")
    assert "<!--" not in page
    assert re.findall(r"\]\((?!https://)", page) == []


def test_the_page_links_to_the_repository_of_who_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    hook = import_module("hatch_build")
    for name in ("CONVNEXT_EDGE_REPOSITORY", "GITHUB_REPOSITORY", "CI_PROJECT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert (hook.repository(), hook.urls("")) == ("", {})
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/edge")
    assert hook.repository() == "https://git.example/me/edge"
    monkeypatch.setenv("CONVNEXT_EDGE_REPOSITORY", "https://example.org/edge/")
    assert hook.urls(hook.repository())["Changelog"] == "https://example.org/edge/blob/HEAD/CHANGELOG.md"
    text = "<!-- a mark -->\n\nSee [a page](docs/a.md#b) and [PyPI](https://pypi.org).\n"
    assert hook.with_links(text, "https://example.org/edge") == (
        "See [a page](https://example.org/edge/blob/HEAD/docs/a.md#b) and [PyPI](https://pypi.org).\n"
    )
    assert hook.with_links(text, "") == "See a page and [PyPI](https://pypi.org).\n"


@pytest.mark.parametrize("call", [("convnext-edge",), ("python", "-m", "convnext_edge")])
def test_the_installed_command_runs(installed: Path, tmp_path: Path, call: tuple[str, ...]) -> None:
    program = str(installed / SCRIPTS / call[0])
    assert __version__ in run(program, *call[1:], "--version", cwd=tmp_path)
    assert "quantize" in run(program, *call[1:], "--help", cwd=tmp_path)


def test_the_installed_package_brings_the_demo_images(installed: Path, tmp_path: Path) -> None:
    python = installed / SCRIPTS / "python"
    origin, counts = run(python, "-c", COUNT_DEMO_IMAGES, cwd=tmp_path).splitlines()
    assert Path(origin).is_relative_to(installed)
    assert all(int(count) > 0 for count in counts.split())
