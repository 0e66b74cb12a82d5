"""The page in a browser, on a screen and a phone, in either theme; and the other forms of the report."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageStat
from support.chromium import measure, picture
from support.places import ROOT
from support.report_rows import CHECKED, record, row

from convnext_edge.commands.report.asked import choose_format, suffix_of
from convnext_edge.commands.report.command import Report
from convnext_edge.commands.report.formats import write_form
from convnext_edge.commands.report.page import make_page, make_sections, markdown_block
from convnext_edge.commands.report.thumbnails import thumbnails
from convnext_edge.errors import UsageError
from convnext_edge.images.opening import open_image_set

PICTURES = ROOT / "build" / "ci-artifacts"
VALUES = {
    "edges": [-2.0, -1.0, 0.0, 1.0],
    "shares": [0.01, 0.5, 0.49],
    "low": -1.2,
    "high": 1.0,
    "clipped": 0.01,
}
LAYERS = [
    {"name": f"stages.{number}.blocks.0.pwconv1", "sqnr_db": 30.0 + number, "kl": 0.1 / (number + 1),
     "latency_saved_ms": 0.1, "fp32_ms": 0.3, "int8_ms": 0.2,
     **({"weights": VALUES, "activations": VALUES} if number < 2 else {})}
    for number in range(15)
]  # fmt: skip
LONG = "a-name-of-a-class-that-somebody-wrote-without-a-single-space-in-it-so-that-it-is-hard-to-break"
BEYOND = {
    "reference_ece": 0.02,
    "candidate_ece": 0.025,
    "ece_bins": 15,
    "classes_by": "label",
    "by_class": [
        {"name": LONG, "images": 40, "agreement": 0.9},
        {"name": "dog", "images": 50, "agreement": 1.0},
    ],
    "by_confidence": [{"least": 0.5, "most": 0.7, "images": 90, "agreement": 0.97}],
    "changed_images": 30,
    "changed": [
        {"image": f"{LONG}/{number}.png", "label": "cat", "reference": "cat", "candidate": LONG,
         "reference_probability": 0.9, "candidate_probability": 0.6}
        for number in range(30)
    ],
}  # fmt: skip
RECIPE = {"activation": "uint8", "keep_float": ["head", "stem"]}
ROWS: list[dict[str, Any]] = [
    row(file="fp32.xml", method="fp32", precision="fp32", milliseconds=12.0, bytes=110 * 2**20),
    row(beyond_top1=BEYOND, recipe=RECIPE, calibration={"name": "demo", "images": 512, "digest": 64 * "c"},
        made=[{"file": "a.onnx", "command": f"convnext-edge export --checkpoint /{LONG}/{LONG}.pth"}]),
    row(file="b.xml", recipe_name=LONG, changes={"activation": "uint16"}, precision="w8a16",
        milliseconds=7.0),
    row(file="busy.xml", method="ort", milliseconds=6.0, reliable=False, doubt="others took 2 of 2 CPUs"),
    row(file="c.xml", model="second", weights=64 * "e"),
]  # fmt: skip
RECORDS = [
    record("validate", CHECKED),
    record("sensitivity", {"target": "openvino", "calibration": "demo", "images": 8, "layers": LAYERS}),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(make_page(ROWS, RECORDS), encoding="utf-8")
    return path


@pytest.mark.slow(seconds=10)
@pytest.mark.programs("chromium")
def test_nothing_is_cut_on_a_screen_and_on_a_phone(page: Path, tmp_path: Path) -> None:
    for found in measure(page, tmp_path, 1280, 400):
        assert (found["outside"], found["cut"]) == ([], [])
        assert found["scrollWidth"] <= found["width"]
        for text in ("Ship a.xml", "busy machine", "stages.14.blocks.0.pwconv1", LONG, "512 images of demo"):
            assert text in found["text"]


@pytest.mark.slow(seconds=10)
@pytest.mark.programs("chromium")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_complains_of_nothing_and_has_two_themes(page: Path, width: int) -> None:
    seen = []
    for dark in (False, True):
        file = PICTURES / f"report-{width}-{'dark' if dark else 'light'}.png"
        assert picture(page, file, width, 3000, dark=dark) == []
        seen.append(brightness(file))
    assert seen[0] > 200
    assert seen[1] < 60


def brightness(file: Path) -> float:
    with Image.open(file) as image:
        return ImageStat.Stat(image.convert("L")).median[0]


@pytest.mark.slow(seconds=5)
@pytest.mark.programs("chromium")
def test_the_tests_see_what_is_cut_and_what_a_page_complains_of(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<!doctype html><div class="wide" style="width:2000px">x</div>'
        '<div class="cut" style="width:50px;overflow:hidden;white-space:nowrap">much too long a line</div>'
        "<script>console.error('broken')</script>",
        encoding="utf-8",
    )
    (found,) = measure(bad, tmp_path, 400)
    assert found["scrollWidth"] > 400
    assert [text.split(":")[0] for text in found["outside"]] == ["DIV wide"]
    assert "DIV cut" in [text.split(":")[0] for text in found["cut"]]
    assert "broken" in picture(bad, tmp_path / "bad.png", 400, 400, dark=False)[0]


def test_the_page_is_one_small_file_without_a_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000, "3 MB are allowed, for fifty variants"
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert "://" not in text


def test_values_of_the_worst_layers_are_shown_with_what_is_cut_off(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("INT8 covers -1.2 to 1; 1.00% cut off") >= 4
    assert "3 more layers" in text


def test_names_are_shown_and_never_run() -> None:
    bad = "<img src=x onerror=alert(1)>\"'"
    shown = make_page([row(model=bad, file=bad, recipe_name=bad, beyond_top1={**BEYOND, "changed": [
        {**BEYOND["changed"][0], "image": bad, "candidate": bad}]})], [])  # type: ignore[index]  # fmt: skip
    assert "<img" not in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;&#34;&#39;") > 5


def test_what_validate_tells_beyond_top1_is_said() -> None:
    corrupted = {"images": 500, "extra_drop_points": 0.11, "extra_drop_ci95_points": [-0.05, 0.27]}
    shown = make_page([row(beyond_top1=BEYOND, corruptions=corrupted)], [])
    assert "30 of 10,000 pictures get another answer" in shown
    assert "Expected calibration error: FP32 2.00%, this 2.50%." in shown
    assert "On 500 corrupted images it loses +0.11 points more (95 %: -0.05 to +0.27)." in shown
    assert "10 more are in the JSON of validate" in shown


def test_changed_images_are_shown_as_pictures_of_their_own_set(photos: Path) -> None:
    images = open_image_set(str(photos))
    name = images.entries[3].name
    changed = [{**BEYOND["changed"][0], "image": told} for told in (name, "absent.png")]  # type: ignore[index]
    rows = [
        row(data=images.name, beyond_top1={**BEYOND, "changed": changed}),
        row(file="b.xml", data="another", beyond_top1={**BEYOND, "changed": changed}),
    ]
    found = thumbnails(images, rows)
    assert list(found.pictures) == [name]
    kind, content = found.pictures[name].split(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(photos / name) as original, Image.open(io.BytesIO(base64.b64decode(content))) as small:
        assert small.size == original.size == (88, 80), "no larger than it is"
        assert np.abs(np.asarray(small, float) - np.asarray(original.convert("RGB"), float)).mean() < 8
    page = write_form("html", make_sections(rows, []), rows, [], found)
    assert page.count("<img ") == 1
    # another set of the same name, at another place
    (here, there) = (rows[0] | {"data_path": place} for place in (images.place, "/elsewhere"))
    assert thumbnails(images, [here, there]).of(there, name) is None
    assert thumbnails(images, [here, there]).of(here, name)
    assert thumbnails(images, [there]).of(there, name), "it may have been moved"


# Other forms


def test_csv_has_a_line_for_each_row_and_the_ends_of_intervals() -> None:
    text = write_form("csv", make_sections(ROWS, RECORDS), ROWS, RECORDS)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(one["file"] for one in rows) == sorted(one["file"] for one in ROWS)
    (first,) = (one for one in rows if one["file"] == "a.xml")
    assert (first["drop_ci95_points_low"], first["drop_ci95_points_high"]) == ("-0.1", "0.5")
    assert first["candidate_ms.p50"] == "5.0"
    assert first["name"] == "ptq · openvino"


def test_json_has_the_verdicts_names_and_commands() -> None:
    told = json.loads(write_form("json", make_sections(ROWS, RECORDS), ROWS, RECORDS))
    first, second = told["groups"]
    assert [group["verdicts"][0]["file"] for group in (first, second)] == ["a.xml", "c.xml"]
    assert told["rows"] == ROWS
    assert len({one["name"] for one in first["rows"]}) == 4
    assert first["sensitivity"][0]["layers"][0]["fp32_ms"] == 0.3


def test_markdown_has_a_table_whose_lines_have_one_number_of_cells() -> None:
    odd = row(file="odd.xml", recipe_name="a|b*c&lt;")
    text = write_form("markdown", make_sections([*ROWS, odd], RECORDS), ROWS, RECORDS)
    table = [line for line in text.split("## second")[0].splitlines() if line.startswith("|")]
    lines = [line.replace("\\|", "") for line in table if "pwconv1" not in line][:7]
    assert len(lines) == 7, "a head, a rule, and five rows"
    assert len({line.count("|") for line in lines}) == 1
    assert "a\\|b\\*c&amp;lt;" in text
    assert "\n**Ship a.xml" in text
    assert f"\n\n```sh\nconvnext-edge export --checkpoint /{LONG}/{LONG}.pth\n" in text


def test_commands_in_markdown_end_no_block_of_theirs() -> None:
    assert markdown_block(["a 'x\n```\n# y'", "b"]) == "````sh\na 'x\n```\n# y'\nb\n````"


def test_csv_without_a_line_is_refused() -> None:
    with pytest.raises(UsageError, match="only sensitivity") as caught:
        write_form("csv", make_sections([], RECORDS[1:]), [], RECORDS[1:])
    assert "--format json" in (caught.value.hint or "")


def test_each_image_set_has_its_own_top1_of_the_reference() -> None:
    rows = [row(data="a"), row(data="b", images=500, reference_top1=0.3, reference_top5=0.5)]
    (section,) = make_sections(rows, [])
    assert section.reference == (
        "10,000 images of a: FP32 PyTorch: top-1 80.00%, top-5 95.00%;"
        " 500 images of b: FP32 PyTorch: top-1 30.00%, top-5 50.00%"
    )


def test_times_of_layers_are_those_of_one_machine_with_as_many_threads() -> None:
    def layers(ms: float) -> list[dict[str, Any]]:
        return [{"name": "head", "ms": ms}]

    device = {"url": "ssh://pi", "runner": None, "emulated": False}
    rows = [
        row(file="fp32.xml", precision="fp32", layers=layers(10.0)),
        row(file="here.xml", layers=layers(5.0)),
        row(file="pi.xml", layers=layers(2.0), device=device),
        row(file="more.xml", layers=layers(1.0), threads=4),
    ]
    (section,) = make_sections(rows, [])
    assert {found.title: found.lines[0].times for found in section.layers} == {
        "openvino: time of layers of B, slowest first": "FP32 10.000, INT8 5.000 ms (2.0x)",
        "openvino: time of layers of C, slowest first": "INT8 1.000 ms",
        "openvino on ssh://pi: time of layers of D, slowest first": "INT8 2.000 ms",
    }
    told = RECORDS[1]["result"]
    both = [record("sensitivity", told), record("sensitivity", {**told, "device": device})]
    (section,) = make_sections([row()], both)
    assert [found.title.split(":")[0] for found in section.layers] == ["openvino", "openvino on ssh"]


def test_rows_of_the_table_have_their_own_names() -> None:
    rows = [row(data="a"), row(data="b")]
    groups = tuple(section.to_json() for section in make_sections(rows, []))
    told = Report(None, tuple(rows), Path("x"), "json", groups).table_rows()
    assert [(one["name"], one["data"]) for one in told] == [
        ("ptq · openvino · a", "a"),
        ("ptq · openvino · b", "b"),
    ]


@pytest.mark.parametrize(
    ("asked", "output", "wanted"),
    [
        (None, None, "html"),
        (None, "a.md", "markdown"),
        (None, "a.CSV", "csv"),
        ("json", "a.json", "json"),
        ("csv", "a", "csv"),
        ("markdown", "a.txt", "markdown"),
    ],
)
def test_the_form_is_what_was_asked_for_or_what_the_name_says(
    asked: Any, output: str | None, wanted: str
) -> None:
    assert choose_format(asked, Path(output) if output else None) == wanted
    assert suffix_of("markdown") == ".md"


@pytest.mark.parametrize(
    ("asked", "output", "said"),
    [("csv", "a.html", "--format csv and -o a.html contradict"), (None, "a.txt", "-o a.txt does not tell")],
)
def test_a_name_that_says_another_form_or_none_is_refused(asked: Any, output: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        choose_format(asked, Path(output))
    assert caught.value.hint
