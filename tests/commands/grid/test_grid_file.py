"""The TOML file of a grid: what it names, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_edge import compare
from convnext_edge.commands.compare.grid.file import line_of, read_grid
from convnext_edge.commands.compare.grid.plan import Model, Started, cells_of
from convnext_edge.errors import UsageError

WHOLE = """\
variants = ["demo"]
resolutions = [32, 48]
methods = ["fp32", "wide.toml"]
targets = [
    "openvino",
    "onnxruntime",
]

[images]
calib = "demo"
data = "demo"
limit = 8

[timing]
threads = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wide.toml").write_text('activation = "uint16"\n')
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def test_each_model_meets_each_method_on_each_target(folder: Path) -> None:
    grid = read_grid(written(folder, WHOLE), folder / "out", None)
    models = tuple(Started(model, Path("m"), name="demo") for model in grid.models)
    cells = [(c.model.model.resolution, c.method.name, c.target) for c in cells_of(grid, models)]
    assert cells == [
        (32, "fp32", "openvino"),
        (32, "wide.toml", "openvino"),
        (32, "fp32", "onnxruntime"),
        (32, "wide.toml", "onnxruntime"),
        (48, "fp32", "openvino"),
        (48, "wide.toml", "openvino"),
        (48, "fp32", "onnxruntime"),
        (48, "wide.toml", "onnxruntime"),
    ]
    assert [cell.number for cell in cells_of(grid, models)] == list(range(1, 9))
    assert (grid.work.limit, grid.work.samples, grid.work.threads, grid.work.runs) == (8, None, 1, 50)


def test_paths_begin_in_the_folder_of_the_file_and_names_stay(folder: Path) -> None:
    (folder / "pictures").mkdir()
    (folder / "mine.safetensors").touch()
    text = WHOLE.replace('variants = ["demo"]', 'checkpoints = ["mine.safetensors", "hf:org/name"]')
    grid = read_grid(written(folder, text.replace('data = "demo"', 'data = "pictures"')), folder, None)
    assert grid.models[0] == Model(checkpoint=folder / "mine.safetensors", resolution=32)
    assert grid.models[2].checkpoint == "hf:org/name"
    assert grid.methods[1].recipe == folder / "wide.toml"
    assert (grid.work.calib, grid.work.data) == ("demo", folder / "pictures")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("limit = 8", "limit = 0"), "line 12: images.limit must be a whole number of at least 1, is 0"),
        (("limit = 8", 'limit = "8"'), 'line 12: images.limit must be a whole number, is "8"'),
        (("limit = 8", "limits = 8"), "line 12: images.limits is unknown\nNearest is limit. The keys of "),
        (('calib = "demo"\n', ""), "line 9: images has no calib"),
        (("[images]", "[image]"), "line 9: image is unknown\nNearest are images"),
        (("[32, 48]", "[32, -4]"), "line 2: resolutions[1] must be a whole number of at least 1, is -4"),
        (('    "onnxruntime",', '    "tensorflow",'), "line 6: targets[1]: unknown target 'tensorflow'"),
        (('["demo"]', '["demo", "tinny"]'), "line 1: variants[1]: "),
        (('"fp32", ', '"fp16", '), "line 3: methods[0]: 'fp16' is no method"),
        (('"wide.toml"', '"wild.toml"'), "line 3: methods[1]: cannot read the recipe"),
        (('data = "demo"', 'data = "photos"'), "line 11: images.data: "),
        (("threads = 1", "threads = 100000"), "line 15: timing.threads: --threads 100000 are more than"),
        (('variants = ["demo"]', ""), "it has neither variants nor checkpoints"),
        (('variants = ["demo"]', "variants = 1979-05-27"), "line 1: variants must be a list, is 1979-05-27"),
        (("limit = 8", "limit = "), "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_and_what_is_allowed(
    folder: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in WHOLE
    path = written(folder, WHOLE.replace(*change))
    with pytest.raises(UsageError) as caught:
        read_grid(path, folder / "out", None)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert not (folder / "out").exists()


def test_two_recipes_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "wide.toml").write_text("smoothing = 0.0\n")
    with pytest.raises(UsageError, match=r"line 3: methods: .*have one name"):
        read_grid(written(folder, WHOLE.replace('"fp32", ', '"other/wide.toml", ')), folder / "out", None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"calib": "demo"}, "--calib and --grid contradict each other"),
        ({"targets": ["openvino"]}, "--targets and --grid contradict"),
        ({"runs": 50}, "--runs and --grid contradict"),
        ({"rivals": True}, "--rivals does not go with --grid"),
        ({"on": "ssh://a"}, "--on does not go with --grid"),
    ],
)
def test_nothing_is_told_twice(folder: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        compare(grid=written(folder, WHOLE), workspace=folder / "out", **options)  # type: ignore[arg-type]


def test_without_a_grid_images_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--calib is missing"):
        compare(data="demo", workspace=tmp_path)
    with pytest.raises(UsageError, match="--data is missing"):
        compare(calib="demo", workspace=tmp_path)


def test_lines_are_found_in_lists_of_several_lines_and_in_tables() -> None:
    lines = WHOLE.splitlines()
    found = [
        line_of(lines, place) for place in (("targets", 1), ("targets",), ("images",), ("timing", "threads"))
    ]
    assert found == [6, 4, 9, 15]
    assert line_of(lines, ("nothing",)) is None


def test_what_is_named_in_two_ways_is_one_model_and_one_method(folder: Path) -> None:
    (folder / "a.pth").touch()
    text = WHOLE.replace('["demo"]', '["tiny", "convnext_tiny"]\ncheckpoints = ["a.pth", "./a.pth"]')
    grid = read_grid(written(folder, text.replace('"fp32"', '"ptq", "./wide.toml"')), folder / "out", None)
    assert [model.label for model in grid.models if model.resolution == 32] == [
        "tiny at 32 px",
        "a.pth at 32 px",
    ]
    assert [method.name for method in grid.methods] == ["ptq", "./wide.toml"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('data = "demo"', 'data = ""', r"line 11: images.data must be a text with a length of at least 1"),
        ("limit = 8", 'classes = "none.txt"', r"line 12: images.classes: .*none.txt cannot be read"),
        ("[32, 48]", "[32, true]", r"line 2: resolutions\[1\] must be a whole number"),
        (
            '"openvino",\n',
            '"openvino",  # "as usual"\n    "open",\n',
            r"line 6: targets\[1\]: unknown target",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_line_before_any_work(
    old: str, new: str, why: str, folder: Path
) -> None:
    with pytest.raises(UsageError, match=why):
        read_grid(written(folder, WHOLE.replace(old, new)), folder / "out", None)
