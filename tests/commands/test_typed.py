"""The command line that does the same as a call in Python: Click reads the values of the call from it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run, commands_in

import convnext_edge
from convnext_edge.commands.declaration import COMMANDS
from convnext_edge.commands.result import Result
from convnext_edge.commands.typed import typed

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("export", {"model": "tiny", "resolution": (224, 320), "mean": (0.5, 0.25, 0.125), "seed": 3}),
    ("export", {"checkpoint": Path("my model.pth"), "resolution": 96, "random_weights": True}),
    ("quantize", {"calib": "demo", "keep_float": ("head", "stages.0.*"), "timing": False, "max_drop": 0.5}),
    ("benchmark", {"model": Path("-a.xml"), "batch": (1, 2, 4), "threads": 1, "duration": 2.5}),
    ("compare", {"calib": "a b", "data": "demo", "methods": ("ptq", "mine.toml"), "targets": ("openvino",)}),
    ("predict", {"engine": Path("a.xml"), "pictures": ("a.png", "b c.png")}),
]


@pytest.mark.parametrize(("name", "given"), CALLS, ids=[f"{name}-{len(given)}" for name, given in CALLS])
def test_click_reads_the_values_of_the_call(
    name: str, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    getattr(convnext_edge, name)  # declares it
    parameters = COMMANDS[name].parameters()
    assert given.keys() <= {parameter.name for parameter in parameters}
    program, *words = shlex.split(typed(name, parameters, given))
    assert program == "convnext-edge"
    seen: dict[str, Any] = {}

    def record(**options: Any) -> Result:
        seen.update(options)
        return Result()

    monkeypatch.setattr(convnext_edge, name, record)
    with commands_in(tmp_path, monkeypatch) as run:
        _checked(run, words)
    assert {key: _plain(seen[key]) for key in given} == {key: _plain(value) for key, value in given.items()}
    defaults = {p.name: p.default for p in parameters if not p.required}
    others = {key: value for key, value in seen.items() if key not in given}
    assert {key: _plain(value) for key, value in others.items()} == {
        key: _plain(defaults[key]) for key in others
    }


def _checked(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.exit_code == 0, done.stderr


def _plain(value: object) -> object:
    """Return a value as either side has it: paths as texts, one number in place of a tuple of it."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value)) if len(value) != 1 else _plain(value[0])
    return str(value).removeprefix("./") if isinstance(value, Path | str) else value


def test_values_that_are_the_defaults_are_left_out() -> None:
    parameters = COMMANDS["export"].parameters()
    assert (
        typed("export", parameters, {"model": "tiny", "seed": 0, "variant": None})
        == "convnext-edge export tiny"
    )
