"""SECURITY.md and docs/promises.md name what there is: files, targets of make, engines, limits in code."""

from __future__ import annotations

import re
import runpy

import pytest
from support.places import ROOT

from convnext_edge import reading
from convnext_edge.artifacts import locks, names
from convnext_edge.checkpoints import expectation
from convnext_edge.images import archives, companions, decoding, tars
from convnext_edge.targets.registry import MODULES, find_target

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
LIMITS = {
    "a JSON file, a label file": f"{reading.MAX_BYTES // 2**20} MiB",
    "JSON's depth, a whole number's digits": f"{reading.MAX_DEPTH}, {reading.MAX_DIGITS}",
    "a recipe or definition in TOML": f"{reading.MAX_TOML_BYTES // 2**10} KiB",
    "the arrays in a file of `--expect` or `--input-data`": f"{expectation.MAX_BYTES // 2**20} MiB",
    "a file's name": f"{names.MAX_BYTES} bytes",
    "an image": f"{decoding.MAX_PIXELS // 10**6} million pixels",
    "a member of an archive": f"{archives.MAX_MEMBER_BYTES // 2**20} MiB",
    "a compressed tar, unpacked": f"{archives.MAX_COMPRESSED_TAR_BYTES // 2**30} GiB, "
    f"and {archives.MAX_EXPANSION} times its size or {archives.MAX_MEMBER_BYTES // 2**20} MiB",
    "the headers of one member of a tar": f"{tars.MAX_HEADER_BYTES // 2**10} KiB, {tars.MAX_RECORDS} records",
    "the wait for another process in the same workspace": f"{locks.LIMIT / 60:.0f} minutes",
}


def test_the_limits_are_those_of_the_code() -> None:
    rows = PAGE.split("## Limits")[1].split("##")[0]
    found = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", rows, flags=re.MULTILINE))
    assert companions.MAX_BYTES == reading.MAX_BYTES
    assert {name: value for name, value in found.items() if name not in ("of", "---")} == LIMITS


def test_every_kind_of_engine_is_judged() -> None:
    judged = re.findall(r"`(\.[\w.]+)`", PAGE.split("## Engines")[1].split("## Limits")[0])
    assert {find_target(name).suffix for name in MODULES} <= set(judged)


@pytest.mark.parametrize("page", [PAGE, PROMISES], ids=["SECURITY.md", "promises.md"])
def test_the_files_and_targets_of_make_that_it_names_exist(page: str) -> None:
    files = re.findall(r"`((?:tests|convnext_edge)/[\w/.]+)`", page)
    missing = [name for name in files if not (ROOT / name).exists()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make ([a-z-]+)`", page)
    assert targets
    unknown = [name for name in targets if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)]
    assert (missing, unknown) == ([], [])


PACKAGES = {
    "sound": ({"name": "a", "version": "1", "vulns": []}, 0, "asked for 1 of 1 packages, 0 known holes"),
    "hole": (
        {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
        1,
        "a 1: PYSEC-1, mended in 2",
    ),
    "unknown": ({"name": "a", "skip_reason": "a is not on PyPI"}, 2, "not asked: a is not on PyPI"),
    "nothing": (None, 2, "asked for no package: no network"),
}


@pytest.mark.parametrize("case", PACKAGES)
def test_an_audit_that_asked_nobody_does_not_pass(case: str) -> None:
    package, code, line = PACKAGES[case]
    judge = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["judge"]
    found, said = judge([] if package is None else [package], "no network")
    assert found == code
    assert line in said
    assert ("This is no audit" in said[-1]) == (code == 2)
