"""One running installation per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from installation import Installation


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    installation = Installation()
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()
