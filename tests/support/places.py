"""Where the tests and the checkout are, whatever folder a test lies in."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
