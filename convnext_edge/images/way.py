"""The whole way of an image to the input of a model, in words."""

from __future__ import annotations

from convnext_edge.images.preprocessing import Channels, Preprocessing

WHOLE = ("pad", "corner")
KINDS = {1: "gray", 2: "gray with alpha", 3: "RGB", 4: "RGB with alpha"}  # by the number of channels


def way(prepared: Preprocessing) -> str:
    """Return how images are prepared, as `shorter edge to 256 (bicubic), centre 224x224, RGB, ...`."""
    steps = ["turned upright by EXIF"] if prepared.exif else []
    by = " of PyTorch" if prepared.resampler == "pytorch" else ""
    steps += [f"{resizing(prepared)} ({prepared.interpolation}{by})", *cutting(prepared), channels(prepared)]
    return ", ".join([*steps, values(prepared.mean, prepared.std)])


def resizing(prepared: Preprocessing) -> str:
    """Return what is resized to which size."""
    rows, columns = prepared.resized
    if prepared.resize_mode == "squash":
        return f"squashed to {rows}x{columns}"
    if rows == columns:
        return f"{'longer' if prepared.resize_mode in WHOLE else 'shorter'} edge to {rows}"
    return f"resized to {'lie within' if prepared.resize_mode in WHOLE else 'cover'} {rows}x{columns}"


def cutting(prepared: Preprocessing) -> list[str]:
    """Return how a resized image comes to the size of the input."""
    rows, columns = prepared.size
    steps = []
    if prepared.resize_mode in WHOLE:
        where = " to the right and below" if prepared.resize_mode == "corner" else ""
        steps.append(f"padded{where} with {' '.join(map(str, prepared.padding))}")
    if prepared.resize_mode == "center" or prepared.resized != prepared.size:
        steps.append(f"centre {rows}x{columns}")
    return steps


def channels(prepared: Preprocessing) -> str:
    """Return the channels of an image, and whether the model had them in another order."""
    count = len(prepared.mean)
    turned = " (its BGR stem was turned)" if prepared.channel_order == "bgr" else ""
    return KINDS.get(count, f"{count} channels") + turned


def values(mean: Channels, std: Channels) -> str:
    """Return how pixels are normalized."""
    if not any(mean):
        if all(each == 1 for each in std):
            return "values 0..1"
        if all(abs(255 * each - 1) < 1e-9 for each in std):
            return "values 0..255"
    return f"mean {_numbers(mean)}, std {_numbers(std)}"


def _numbers(each: Channels) -> str:
    return " ".join(f"{value:.6g}" for value in each)
