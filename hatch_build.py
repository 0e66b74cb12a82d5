"""The page of the wheel: the README with links that work outside the repository, and the project's addresses.

The address of the repository is that of who builds: $CONVNEXT_EDGE_REPOSITORY, as https://github.com/NAME/convnext-edge,
or what GitHub's and GitLab's CI say. Without one, links into the repository become plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)]*)\)")  # to a file of the repository
MARKS = re.compile(r"<!-- .*? -->\n\n?")


class Page(MetadataHookInterface):
    """Hatchling's hook that fills `readme` and `urls`."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill the two fields."""
        address = repository()
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_links(text, address)}
        metadata["urls"] = urls(address)


def repository() -> str:
    """Return the address of the repository, empty where nobody says it."""
    found = os.environ
    if "GITHUB_REPOSITORY" in found:
        default = f"{found.get('GITHUB_SERVER_URL', 'https://github.com')}/{found['GITHUB_REPOSITORY']}"
    else:
        default = found.get("CI_PROJECT_URL", "")
    return found.get("CONVNEXT_EDGE_REPOSITORY", default).rstrip("/")


def urls(address: str) -> dict[str, str]:
    """Return what a package index shows as the project's links."""
    if not address:
        return {}
    return {
        "Repository": address,
        "Documentation": file_at(address, "docs"),
        "Changelog": file_at(address, "CHANGELOG.md"),
        "Security": file_at(address, "SECURITY.md"),
        "Benchmarks": file_at(address, "benchmarks/README.md"),
    }


def file_at(address: str, path: str) -> str:
    """Return the address of a file, on the newest commit; GitHub and GitLab both know HEAD."""
    return f"{address}/blob/HEAD/{path}"


def with_links(text: str, address: str) -> str:
    """Return the README with absolute links, or with their text alone, and without our marks in it."""
    plain = MARKS.sub("", text)
    if not address:
        return LINK.sub(r"\1", plain)
    return LINK.sub(lambda link: f"[{link[1]}]({file_at(address, link[2])})", plain)
