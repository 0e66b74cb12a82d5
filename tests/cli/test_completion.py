"""What a shell is told when somebody presses Tab, in the form that its script reads."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete, ShellComplete, ZshComplete

from convnext_edge.cli import main


def told(shell: type[ShellComplete], *words: str) -> list[str]:
    """Return the lines that a shell gets for words of which the last one is not complete."""
    asked = shell(main, {}, "convnext-edge", "_CONVNEXT_EDGE_COMPLETE")
    *before, begun = words
    return [asked.format_completion(item) for item in asked.get_completions(before, begun)]


@pytest.mark.parametrize(
    "words",
    [
        ("export", "--checkpoint", "../pi"),
        ("export", "--expect", "../pi"),
        ("export", "../pi"),
        ("quantize", "--calib", "../pi"),
        ("quantize", "--recipe", "../pi"),
        ("quantize", "-o", "../pi"),
        ("finetune", "--train", "../pi"),
        ("compare", "--methods", "../pi"),
        ("predict", "model.onnx", "../pi"),
    ],
)
def test_what_takes_a_path_completes_files(words: tuple[str, ...]) -> None:
    assert told(BashComplete, *words) == ["file,../pi"]
    assert told(ZshComplete, *words) == ["file\n../pi\n_"]


def test_what_takes_a_folder_completes_folders() -> None:
    assert told(BashComplete, "validate", "--data-root", "pi") == ["dir,pi"]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("quantize", "--calib"),
        ("quantize", "--data"),
        ("validate", "--data"),
        ("sensitivity", "--calib"),
        ("finetune", "--train"),
        ("finetune", "--calib"),
        ("finetune", "--data"),
    ],
)
def test_images_complete_the_names_of_sets_beside_files(command: str, option: str) -> None:
    names = ("demo", "demo_detect", "demo_segment")
    assert told(BashComplete, command, option, "de") == ["file,de", *(f"plain,{name}" for name in names)]
    zsh = ["file\nde\n_", *(f"plain\n{name}\n_" for name in names)]
    assert told(ZshComplete, command, option, "de") == zsh


def test_names_that_are_no_paths_complete_without_files() -> None:
    assert told(BashComplete, "export", "--variant", "v2_at") == ["plain,v2_atto"]
    assert told(BashComplete, "quantize", "--target", "no") == []
