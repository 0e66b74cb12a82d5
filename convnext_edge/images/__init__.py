"""Image sets: finding them, labelling them, and turning them into the model's input.

definitions   the named sets (`imagenet_val`, `demo`) and where each is looked for
opening       from a name or a path to an `ImageSet`
folders, archives, parquet
              where the bytes of the images are
layout, labels
              which members are images, and of which class
image_set     the set itself: subset, digest, overlap, batches
decoding, transform
              from bytes to RGB, and from RGB to the square that the model sees
batches, parallel
              many images at a time, in order
"""

from convnext_edge.images.batches import Batch, SkippedImage
from convnext_edge.images.definitions import Split, calibration_dir
from convnext_edge.images.image_set import ImageSet, overlap
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.transform import as_reference_takes, normalize, preprocess

__all__ = [
    "Batch",
    "ImageSet",
    "SkippedImage",
    "Split",
    "as_reference_takes",
    "calibration_dir",
    "normalize",
    "open_image_set",
    "overlap",
    "preprocess",
]
