"""What a user says of the images of a model, in place of what its checkpoint says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convnext_edge.errors import UsageError
from convnext_edge.images.preprocessing import (
    MOST_PIXELS,
    TENSOR_FILTERS,
    ChannelOrder,
    Channels,
    LabelZero,
    Preprocessing,
    ResizeMode,
)

Fits = Callable[[float], bool]
Exif = Literal["apply", "ignore"]
RANGES = (1, 255)  # where the values of pixels end


@dataclass(frozen=True)
class PreprocessingChanges:
    """Values that a user gives in place of a checkpoint's; None keeps the checkpoint's value."""

    resolution: int | tuple[int, int] | None = None  # edge, or rows and columns
    crop: float | None = None
    interpolation: str | None = None
    mean: Channels | None = None  # of each channel of the model, of pixels in 0..`pixel_range`
    std: Channels | None = None  # likewise
    resize_mode: ResizeMode | None = None
    pad_color: Channels | None = None  # red, green, blue, whatever the model's order
    channel_order: ChannelOrder | None = None
    pixel_range: int | None = None
    exif: Exif | None = None
    label_zero: LabelZero | None = None

    @property
    def tells_resizing(self) -> bool:
        """Whether the user says how images come to the input's size."""
        return self.crop is not None or self.resize_mode is not None

    @property
    def tells_values(self) -> bool:
        """Whether the user says how pixels are normalized."""
        return self.mean is not None or self.pixel_range == 255

    def apply(self, base: Preprocessing, channels: int = 3) -> Preprocessing:
        """Return `base` with these values, for images of `channels`.

        Where the channels are not those of `base`, pixels are taken as they are, in 0..1, unless mean and std
        are given. Raises UsageError for a value that is out of range, or not one of each channel.
        """
        if len(base.mean) != channels:
            base = replace(base, mean=(0.0,) * channels, std=(1.0,) * channels, pad_color=None)
        self._check_values(channels)
        made = replace(self._resized(base), **self._normalized(base))
        if self.interpolation is not None:
            # the other filters are Pillow's, whoever resized before
            resampler = made.resampler if self.interpolation in TENSOR_FILTERS else "pillow"
            made = replace(made, interpolation=self.interpolation, resampler=resampler)
        if self.label_zero is not None:
            made = replace(made, label_zero=self.label_zero)
        return made if self.exif is None else replace(made, exif=self.exif == "apply")

    def left_open(self, made: Preprocessing) -> list[str]:
        """Return what the user does not say of `made`, as the options that would say it."""
        rows, columns = made.size
        told = {
            f"--resolution {rows}" + ("" if rows == columns else f"x{columns}"): self.resolution,
            f"--resize-mode {made.resize_mode}": self.resize_mode,
            f"--crop {made.crop:.4g}": self.crop,
            f"--interpolation {made.interpolation}": self.interpolation,
            f"--mean {_numbers(made.mean)}": self.mean or self._raw,
            f"--std {_numbers(made.std)}": self.std or self._raw,
            f"--exif {'apply' if made.exif else 'ignore'}": self.exif,
        }
        if len(made.mean) == 3:
            told[f"--channel-order {made.channel_order}"] = self.channel_order
        return [option for option, value in told.items() if value is None]

    @property
    def _raw(self) -> bool | None:
        """Whether pixels are taken in 0..255, which tells mean and deviation; None where they are not."""
        return True if self.pixel_range == 255 else None

    @property
    def _size(self) -> tuple[int, int]:
        """Rows and columns that the user gives, 1 and 1 where none are given."""
        given = 1 if self.resolution is None else self.resolution
        return given if isinstance(given, tuple) else (given, given)

    def _resized(self, base: Preprocessing) -> Preprocessing:
        """Return `base` with what is said of sizes, and of the way to them."""
        if self.resolution is not None or self.tells_resizing:
            # an edge in pixels belongs to its resolution: elsewhere, the same fraction is kept
            part = base.crop if base.resize is None else base.resolution / base.resize
            base = replace(base, resize=None, crop=part)
        if self.resolution is not None:
            rows, columns = self._size
            base = replace(base, resolution=rows, width=None if rows == columns else columns)
        if self.resize_mode is not None:
            whole = self.resize_mode != "center" and self.resize_mode != base.resize_mode
            crop = 1.0 if whole else base.crop
            base = replace(base, resize_mode=self.resize_mode, crop=crop)
        if self.pad_color is not None:
            base = replace(base, pad_color=tuple(map(int, self.pad_color)))
        if self.pad_color is not None and base.resize_mode not in ("pad", "corner"):
            raise UsageError(
                "--pad-color belongs to --resize-mode pad or corner, and images are resized with"
                f" {base.resize_mode}",
                hint="Give --resize-mode pad as well, or leave it out.",
            )
        return base if self.crop is None else replace(base, crop=self.crop)

    def _normalized(self, base: Preprocessing) -> dict[str, Any]:
        """Return the fields of what is said of mean, std and the order of the channels."""
        channels = len(base.mean)
        raw = self.pixel_range == 255
        scale = 255 if raw else 1
        plain = {"mean": (0.0,) * channels, "std": (1.0,) * channels} if raw else {}
        given = {name: getattr(self, name) or plain.get(name) for name in ("mean", "std")}
        order = self.channel_order or base.channel_order
        turned, before = order == "bgr", base.channel_order == "bgr"
        found: dict[str, Any] = {"channel_order": order}
        for name, values in given.items():
            if values is not None:
                scaled = tuple(value / scale for value in values)
                found[name] = scaled[::-1] if turned else scaled
            elif turned != before:
                found[name] = getattr(base, name)[::-1]
        return found

    def _check_values(self, channels: int) -> None:
        if self.pixel_range not in (None, *RANGES):
            raise UsageError(f"--pixel-range {self.pixel_range} is none", hint="Take 1 for 0..1, or 255.")
        most = self.pixel_range or 1
        lies = f"pixels lie in 0..{most}" + ("; of 0..255, add --pixel-range 255" if most == 1 else "")
        self._check("crop", (self.crop,), "above 0, at most 1", lambda value: 0 < value <= 1)
        self._check("mean", self.mean, f"within 0 and {most}: {lies}", lambda value: 0 <= value <= most)
        self._check("std", self.std, f"above 0, at most {most}: {lies}", lambda value: 0 < value <= most)
        self._check(
            "pad-color",
            self.pad_color,
            "that are whole, in 0..255",
            lambda value: value in range(256),
        )
        for name, values in (("mean", self.mean), ("std", self.std), ("pad-color", self.pad_color)):
            if values is not None and len(values) != channels:
                raise UsageError(
                    f"--{name} has {len(values)} values, and the model takes {channels} channels",
                    hint="Give one value for each channel.",
                )
        if self.channel_order is not None and channels != 3:
            raise UsageError(
                f"--channel-order is of three channels, and the model takes {channels}", hint="Leave it out."
            )
        for edge in self._size:
            if not 1 <= edge <= MOST_PIXELS:
                raise UsageError(
                    f"--resolution {edge} is out of range", hint=f"Give pixels from 1 to {MOST_PIXELS}."
                )

    @staticmethod
    def _check(name: str, values: Sequence[float | None] | None, wanted: str, fits: Fits) -> None:
        for value in values or ():
            if value is not None and not fits(value):
                raise UsageError(f"--{name} {value:g} is out of range", hint=f"Give values {wanted}.")


def _numbers(each: Channels) -> str:
    return " ".join(f"{value:.4g}" for value in each)
