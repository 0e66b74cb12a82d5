"""What a person reads of a result, within 80 columns: `summary`, one for each kind of result, by theme."""

from convnext_edge.cli.summaries import engines, measurements, models, start  # noqa: F401  registers them
from convnext_edge.cli.summaries.base import summary

__all__ = ["summary"]
