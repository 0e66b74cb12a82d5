"""What is released at the end of a `with` block."""

from __future__ import annotations

from typing import Self


class Closing:
    """The base class of what holds resources: a context manager that closes itself."""

    def close(self) -> None:
        """Release what it holds; without resources, there is nothing to do."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
