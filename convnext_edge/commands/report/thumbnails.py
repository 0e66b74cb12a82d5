"""Small pictures of images whose answer changed, as texts that a page holds."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from convnext_edge.commands.report.details import PICTURES
from convnext_edge.commands.rows import Row
from convnext_edge.errors import ImageSetError
from convnext_edge.images.decoding import decode
from convnext_edge.images.image_set import ImageSet
from convnext_edge.progress import note

EDGE = 112  # pixels of the longer edge, at most
QUALITY = 75  # of JPEG
MOST_BYTES = 1_500_000  # of all pictures: half of what a page may have


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of one image set, by the name of the image."""

    data: str = ""  # name of the image set
    pictures: dict[str, str] = field(default_factory=dict)  # `data:` addresses
    place: str | None = None  # of the set; None where no result is of images there

    def of(self, row: Row, image: str) -> str | None:
        """Return the picture of an image that a row was validated on; None where there is none."""
        return self.pictures.get(image) if self.are_of(row) else None

    def are_of(self, row: Row) -> bool:
        """Return whether a row was validated on this set: by its place where a row has that, else by name."""
        return row["data"] == self.data and self.place in (None, row.get("data_path") or "")


def thumbnails(images: ImageSet, rows: Iterable[Row]) -> Thumbnails:
    """Return pictures of the images whose answer changed, as many as a page has room for.

    A note says it where there are none, or not all.
    """
    known = {entry.name for entry in images.entries}
    told = [row for row in rows if row.get("beyond_top1")]
    there = Thumbnails(images.name, place=images.place)
    own = there if any(map(there.are_of, told)) else Thumbnails(images.name)  # it may have been moved
    changed = dict.fromkeys(
        one["image"] for row in told if own.are_of(row) for one in row["beyond_top1"]["changed"][:PICTURES]
    )
    found: dict[str, str] = {}
    for name in changed:
        if name in known and (picture := _picture(images, name)):
            if sum(map(len, found.values())) + len(picture) > MOST_BYTES:
                break
            found[name] = picture
    if len(found) < len(changed) or not changed:
        note(f"{len(found)} of {len(changed)} changed images of {images.name} are shown as pictures")
    return replace(own, pictures=found)


def _picture(images: ImageSet, name: str) -> str | None:
    """Return a small JPEG of an image as an address; None of one that cannot be read."""
    try:
        image = decode(images.contents.read(name))
    except ImageSetError:
        return None
    image.thumbnail((EDGE, EDGE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
