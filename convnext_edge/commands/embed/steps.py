"""What is done with a folder that `embed` wrote, so that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    """The command that builds or serves a folder, and what it takes."""

    command: str  # works in the folder, as it is
    shown: str = ""  # in its place for people, where words in capitals are theirs to replace
    tried: str = (
        ""  # the command that tries what was built, in the folder; words in capitals are to be replaced
    )
    needs: str = ""  # what must be done first, as a sentence
    page: str = ""  # a file that a browser opens without the command
    unverified: str = ""  # what was not tried, as a sentence
    warnings: tuple[str, ...] = ()  # how answers may differ from ours there, as sentences
