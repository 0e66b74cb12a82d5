"""validate beyond top-1: which answers change, and what bad pictures cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.models import Models
from support.validated import int8

from convnext_edge.errors import UsageError


def test_the_images_that_changed_are_as_many_as_do_not_agree(models: Models) -> None:
    found = int8(models)
    assert found.beyond_top1 is not None
    assert found.agreement == pytest.approx(1 - found.beyond_top1.changed_images / found.images)
    assert all(image.reference != image.candidate for image in found.beyond_top1.changed)
    names = {path.relative_to(models.photos).as_posix() for path in models.photos.glob("*/*.png")}
    assert {image.image for image in found.beyond_top1.changed} <= names
    assert sum(row.images for row in found.beyond_top1.by_class) == found.images
    assert "ECE" in found.summary()


def test_corruptions_are_told_of_each_kind_and_severity_in_few_rows(models: Models) -> None:
    found = int8(models, limit=2, corruptions=True)
    assert found.corruptions is not None
    assert len(found.corruptions.cells) == 75
    assert found.corruptions.clean_drop_points == pytest.approx(found.drop_points)
    drops = [cell.drop_points for cell in found.corruptions.cells]
    assert found.corruptions.extra_drop_points == pytest.approx(np.mean(drops) - found.drop_points)
    table = found.summary().split("\n\n")[-1].splitlines()
    assert len(table) == 17
    assert max(map(len, table)) <= 80
    assert json.loads(json.dumps(found.to_json()))["corruptions"]["severities"] == "Tiny-ImageNet-C"


def test_corruptions_of_images_without_labels_are_refused(models: Models, flat: Path) -> None:
    with pytest.raises(UsageError, match="needs labels"):
        int8(models, data=str(flat), corruptions=True)
