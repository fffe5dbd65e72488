"""What the catalogue's files say now, which may be something else than what counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from aiplatform_hub.catalog.loader import DEFAULT_DIR, Inspection, inspect_catalog


class CatalogFiles:
    """Reads the files again only when one of them has changed. Safe to use from several threads."""

    def __init__(self, overlay_dirs: Sequence[Path]) -> None:
        self._overlay_dirs = tuple(overlay_dirs)
        self._looking = Lock()
        self._known: tuple[object, Inspection] | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are read, later ones laid over earlier ones."""
        return (DEFAULT_DIR, *self._overlay_dirs)

    def look(self) -> Inspection:
        """Return where each entry stands and what is wrong."""
        with self._looking:
            signature = [_signature(folder) for folder in self.folders]
            if self._known is None or self._known[0] != signature:
                self._known = signature, inspect_catalog(self._overlay_dirs)
            return self._known[1]


def _signature(folder: Path) -> object:
    """Return what changes when a file of a folder does."""
    try:
        return sorted((path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in folder.iterdir())
    except OSError as error:
        return str(error)
