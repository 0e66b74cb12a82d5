"""report: what was measured in a workspace, as one HTML file that needs nothing beside it."""

from convnext_edge.commands.report.command import report

__all__ = ["report"]
