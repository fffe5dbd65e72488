"""Keeps how much people's storage holds: the latest size for their limit, and one sample a day for who pays for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.storage_samples import samples
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from aiplatform_hub.storage.storage_usage import StorageUsageStore


class StorageMeter:
    """Records sizes. Whatever is repeated, by several processes, leaves one sample for each person and UTC day: the first."""

    def __init__(
        self, *, database: Database, catalog: Catalog, usage: StorageUsageStore, storage_samples: StorageSampleStore, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._usage = usage
        self._samples = storage_samples
        self._clock = clock

    def record(self, sizes: Mapping[str, int]) -> None:
        """Record what was measured just now, in one transaction.

        Parameters
        ----------
        sizes
            Bytes by name of the person; who could not be measured is absent, and pays nothing for the day unless a later look finds out.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        if not sizes:
            return
        at, project = self._clock(), self._catalog.personal_project
        with self._database.write() as connection:
            self._usage.record(connection, sizes, at)
            if project is not None:
                self._samples.add(connection, samples(sizes, project, at))
