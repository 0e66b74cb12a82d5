"""Ask pip-audit for known holes in pinned packages, and say for which packages nobody could be asked.

    build/audit/bin/python .ci/audit.py constraints.txt

By itself pip-audit says "No known vulnerabilities found" where it could ask for no package at all, or with
`--strict` names the first one alone. Exit codes: 0, all were asked for and none has a known hole; 1, one has;
2, none has, but some could not be asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHOWN = 3  # packages that could not be asked for


def ask(pinned: Path) -> tuple[list[dict[str, Any]], str]:
    """Return what pip-audit says of each package, and its last words where it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        command = [sys.executable, "-m", "pip_audit", "--requirement", pinned, *options, "--output", answer]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not answer.is_file():
            return [], (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return list(json.loads(answer.read_text(encoding="utf-8"))["dependencies"]), ""


def judge(packages: list[dict[str, Any]], last_words: str) -> tuple[int, list[str]]:
    """Return the exit code, and what is to be said."""
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {mended(hole)}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    skipped = [package for package in packages if "skip_reason" in package]
    said = [f"asked for {len(packages) - len(skipped)} of {len(packages)} packages, {len(holes)} known holes"]
    said += holes
    said += [f"not asked: {package['skip_reason']}" for package in skipped[:SHOWN]]
    said += [f"not asked: {len(skipped) - SHOWN} more"] if len(skipped) > SHOWN else []
    if not packages:
        said = [f"asked for no package: {last_words}"]
    incomplete = bool(skipped) or not packages
    if incomplete:
        said.append(
            "This is no audit of what was not asked for: repeat it where PyPI (pypi.org) is in reach."
        )
    return (1 if holes else 2 if incomplete else 0), said


def mended(hole: dict[str, Any]) -> str:
    """Return the versions without a hole."""
    return ", ".join(hole["fix_versions"]) or "none yet"


def main() -> int:
    """Print what was found."""
    code, said = judge(*ask(Path(sys.argv[1])))
    print("\n".join(said))  # noqa: T201  a program
    return code


if __name__ == "__main__":
    sys.exit(main())
