"""Names in sidecars lead nowhere else, whichever command reads them, and names of files spoil no sidecar."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import commands_in, run, said
from support.models import CHECKPOINT

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Description, Kind, Link
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.images.preprocessing import Preprocessing

PROFILE = b"export PATH\n"
ABOVE = "../../../../.profile"
LINK = {"name": ABOVE, "sha256": hashlib.sha256(PROFILE).hexdigest()}
ATTACKS: list[dict[str, object]] = [
    {"files": {ABOVE: LINK["sha256"]}},  # beside those that are there
    {"files": {"..": LINK["sha256"]}},
    {"files": {"/root/.profile": LINK["sha256"]}},
    {"files": {"..\\..\\.profile": LINK["sha256"]}},
    {"files": {"C:.profile": LINK["sha256"]}},
    {"files": {"a\nfile 0 b": LINK["sha256"]}},
    {"stem": "../../evil"},
    {"stem": 200 * "x"},
    {"precision": "/../../../evil"},
    {"target": "x/../../../evil"},
    {"method": "x/../../../evil"},
    {"weights": LINK},
    {"parent": LINK},
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder, in which commands run three folders down."""
    (tmp_path / ".profile").write_bytes(PROFILE)
    (tmp_path / "dl" / "a" / "b").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    with commands_in(tmp_path / "dl" / "a" / "b", monkeypatch):
        yield tmp_path


def foreign(kind: Kind, changes: dict[str, object], content: bytes = b"content") -> Path:
    """A file of somebody else, whose sidecar has such changes."""
    link = Link("tiny.safetensors", 64 * "0")
    target = "openvino" if kind == "engine" else None
    small = Architecture((1,), (8,), classes=10)
    described = Description(
        kind, "tiny", "tiny", small, Preprocessing(), target=target, weights=link, parent=link
    )
    path = Path("c") / ("model.xml" if kind == "engine" else "model.onnx")
    write_artifact(path, described, lambda file: file.write_bytes(content) and None)
    value = json.loads(sidecar_path(path).read_text())
    more = (
        {**value["files"], **changes["files"]} if isinstance(changes.get("files"), dict) else value["files"]
    )
    sidecar_path(path).write_text(json.dumps({**value, **changes, "files": more}))
    return path


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(home: Path, *command: object) -> str:
    """What a command says that must fail and write nothing."""
    before = everything(home)
    done = run(*command)
    assert done.exit_code == 1, done.output
    assert everything(home) == before
    return said(done)


@pytest.mark.parametrize("changes", ATTACKS, ids=lambda changes: str(changes)[:50])
def test_a_sidecar_leads_no_embed_elsewhere(home: Path, changes: dict[str, object]) -> None:
    engine = foreign("engine", changes)
    for lang in ("cpp", "android", "ios", "web"):
        text = refused(home, "embed", engine, "--lang", lang, "-o", "app")
        assert "model.xml.json is damaged:" in text
        assert "must be a plain name, is" in text
        assert "Make the artifact again." in text


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"stem": "../../evil"}, {"weights": LINK}, ATTACKS[0]], ids=str)
@pytest.mark.parametrize(
    "command",
    [
        ("build",),
        ("quantize", "--calib", "demo"),
        ("finetune", "--train", "demo"),
        ("sensitivity", "--calib", "demo"),
        ("validate", "--data", "demo"),
        ("benchmark",),
        ("compare", "--calib", "demo", "--data", "demo"),
    ],
    ids=lambda command: command[0],
)
def test_no_command_takes_a_path_out_of_a_sidecar(
    home: Path, command: tuple[str, ...], changes: dict[str, object]
) -> None:
    model = foreign("onnx", changes)
    assert "must be a plain name" in refused(home, command[0], model, *command[1:])
    assert "must be a plain name" in refused(home, *command, "--workspace", "c")


@pytest.mark.slow
def test_a_checkpoint_with_such_a_sidecar_is_refused(home: Path) -> None:
    model = foreign("weights", {"stem": "../../evil"}, CHECKPOINT.read_bytes())
    assert "stem must be a plain name, is '../../evil'" in refused(home, "export", "--checkpoint", model)


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"a\nb.pth", b"\xff.pth", b"x" * 250 + b".pth", b"a\\b.pth"], ids=str)
def test_a_checkpoint_whose_name_would_spoil_files_is_refused(home: Path, name: bytes) -> None:
    path = Path(os.fsdecode(name))
    shutil.copy(CHECKPOINT, path)
    text = refused(home, "export", "--checkpoint", path)
    assert "Error: the name '" in text
    assert "rename the checkpoint" in text


@pytest.mark.parametrize("name", ["a\nb.onnx", "x" * 200 + ".onnx", "\udcff.onnx"], ids=ascii)
def test_an_output_whose_name_would_spoil_its_sidecar_is_refused(home: Path, name: str) -> None:
    done = run("export", "--variant", "demo", "-o", name)
    assert (done.exit_code, "Give -o a name" in said(done)) == (2, True)
    assert everything(home).keys() == {
        home / ".profile",
        *(home / "dl", home / "dl" / "a", home / "dl" / "a" / "b"),
    }
