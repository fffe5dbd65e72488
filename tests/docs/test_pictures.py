"""The pictures in docs are of pages that there are, and stay small."""

from __future__ import annotations

from pathlib import Path

from tests.browser.looks import STAGES
from tests.browser.test_looks import ASPECTS

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
LARGEST_BYTES = 8_000_000


def test_pictures_are_of_looks_and_small() -> None:
    looks = [look.name for stage in STAGES for look in stage.looks]
    assert len(set(looks)) == len(looks)
    pictures = list(PICTURES.glob("*.webp"))
    assert pictures
    assert {picture.stem for picture in pictures} <= {f"{name}-{width}-{theme}" for name in looks for width, theme in ASPECTS}
    assert sum(picture.stat().st_size for picture in pictures) < LARGEST_BYTES
