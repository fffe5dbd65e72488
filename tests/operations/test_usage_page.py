"""Usage of more people than a page shows: what is shown is compared as if all were."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_cost_reporter import NOW, random_interval, store

from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.usage import Question, usage_page
from aiplatform_hub.storage.database import Database
from aiplatform_hub.web.view_models import usage as view
from aiplatform_hub.web.view_models.usage import UsagePage
from tests.web.samples import PATHS

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def page(database: Database, folder: Path, group: str) -> UsagePage:
    factory = Factory(Settings(data_dir=folder, database_url=database.url), clock=lambda: NOW)
    try:
        return usage_page(factory, Question(None, MARCH, NOW, group, ""), PATHS)
    finally:
        factory.close()


@pytest.mark.parametrize("group", ["user", "gpu_type"])
def test_those_shown_are_compared_as_if_all_were_shown(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    store(database, [random_interval(random.Random(number), number) for number in range(150)])
    whole = page(database, tmp_path, group)
    monkeypatch.setattr(view, "MOST_ROWS", 2)
    some = page(database, tmp_path, group)
    assert (len(some.rows), some.left_out) == (2, len(whole.rows) - 2)
    assert some.comparison == whole.comparison
    assert any(digit in row.before for row in some.rows for digit in "123456789"), "somebody used something before"
    assert set(some.rows) <= set(whole.rows)
