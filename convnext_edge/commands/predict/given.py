"""What may be given to `predict` as pictures, told without NumPy and Pillow, which `--help` does not load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from convnext_edge.paths import AnyPath

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels: TypeAlias = Image | NDArray[np.uint8]
else:

    class OfPixels(type):
        """Tells images of Pillow and arrays of NumPy without importing either, or decoding an image."""

        def __instancecheck__(cls, instance: object) -> bool:
            return hasattr(type(instance), "__array_interface__")

    class Pixels(metaclass=OfPixels):
        """An image of Pillow's or an array of NumPy's."""

        in_words = "an image of Pillow's or an array of NumPy's"


Pictures: TypeAlias = AnyPath | Pixels | Sequence[AnyPath | Pixels]
