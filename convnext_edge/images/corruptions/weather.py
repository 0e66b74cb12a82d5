"""Weather: snow, frost, fog, and bright light. Pictures are (H, W, 3) in 0..1."""

from __future__ import annotations

import numpy as np

from convnext_edge.images.corruptions.filters import Floats, moved, plasma, zoomed

Random = np.random.Generator
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
# The mean colours, as red, green and blue of 255, between which those of the authors' five photographs lie,
# and the deviation within one. How its pixels go together, as 1 / f, is that of the photographs, too.
DARK_FROST, BRIGHT_FROST = np.array([80.0, 140.0, 155.0]), np.array([200.0, 205.0, 214.0])
FROST_DEVIATION, FROST_DECAY = 27.0, 1.08


def snow(x: Floats, severity: tuple[float, ...], random: Random) -> Floats:
    """Lay flakes over the picture, moved by the wind, and bleach what is behind."""
    mean, deviation, zoom, threshold, radius, sigma, kept = severity
    flakes = zoomed(random.normal(mean, deviation, size=x.shape[:2]), zoom)
    flakes = np.floor(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255) / 255
    flakes = moved(flakes, random.uniform(-135, -45), radius, sigma)[..., None]
    bleached = np.maximum(x, (x @ LUMA)[..., None] * 1.5 + 0.5)
    snowy: Floats = kept * x + (1 - kept) * bleached + flakes + flakes[::-1, ::-1]
    return snowy


def frost(x: Floats, severity: tuple[float, float], random: Random) -> Floats:
    """Lay frost over the picture.

    Theirs is cut out of photographs; ours is made, with the colours and the roughness of those.
    """
    rows, columns = x.shape[:2]
    texture = plasma(max(rows, columns), FROST_DECAY, random)[:rows, :columns]
    texture = (texture - texture.mean()) / max(float(texture.std()), 1e-9)
    colour = DARK_FROST + random.random() * (BRIGHT_FROST - DARK_FROST)
    layer = np.clip(colour + FROST_DEVIATION * texture[..., None], 0, 255) / 255
    covered: Floats = severity[0] * x + severity[1] * layer
    return covered


def fog(x: Floats, severity: tuple[float, float], random: Random) -> Floats:
    """Add clouds, and darken the whole so that the brightest stays as bright."""
    strength, decay = severity
    rows, columns = x.shape[:2]
    clouds = plasma(max(rows, columns), decay, random)[:rows, :columns, None]
    brightest = float(x.max())
    foggy: Floats = (x + strength * clouds) * brightest / max(brightest + strength, 1e-9)
    return foggy


def brightness(x: Floats, more: float, random: Random) -> Floats:
    """Raise the value of hue, saturation and value."""
    value = x.max(axis=2, keepdims=True)
    raised = np.minimum(value + more, 1)
    bright: Floats = np.where(value > 0, x / np.where(value > 0, value, 1) * raised, raised)
    return bright
