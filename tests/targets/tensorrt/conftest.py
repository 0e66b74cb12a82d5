"""The model that the tests of TensorRT quantize once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.for_tensorrt import RTX
from support.models import Models


@pytest.fixture
def quantized(models: Models) -> Path:
    return models.quantized(RTX)
