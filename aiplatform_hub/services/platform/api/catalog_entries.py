"""Where each entry of the catalogue stands, and what is wrong with its files: for admins."""

from __future__ import annotations

from pydantic import Field

from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.api.admin import AdminApiHandler
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Output


class CatalogEntryOut(Output):
    """One entry of the catalogue's files."""

    kind: str = Field(
        description="`environment_templates`, `tiers`, `gpu_types`, `projects`, `cost_centres`, `rates`, `node_pools`, `legal_entities` or `carbon`"
    )
    name: str
    file: str = Field(description="The last file that has it; it counts")
    line: int | None


class CatalogEntriesOut(Output):
    """What the files say now, which may be something else than what counts since the last start."""

    entries: tuple[CatalogEntryOut, ...]
    folders: tuple[str, ...] = Field(description="Later ones are laid over earlier ones")
    problems: tuple[str, ...] = Field(description="Everything that is wrong, each with file and line")


class CatalogEntriesHandler(AdminApiHandler):
    """``GET catalog/entries``."""

    async def get(self) -> None:
        """Answer with every entry and every problem."""
        self.check_reads()
        self.reply(await self.platform.run(entries_out, self.platform.factory))


def entries_out(factory: Factory) -> CatalogEntriesOut:
    """Return what the files say now. Reads disk."""
    found = factory.catalog_files.look()
    entries = (
        CatalogEntryOut(kind=kind, name=name, file=str(origin.file), line=origin.line)
        for kind, known in found.origins.items()
        for name, origin in sorted(known.items())
    )
    return CatalogEntriesOut(entries=tuple(entries), folders=tuple(map(str, factory.catalog_files.folders)), problems=found.problems)


RESOURCES = (
    Resource(
        CatalogEntriesHandler,
        (
            Route(
                method="GET",
                path="api/v1/catalog/entries",
                summary="From which file each entry of the catalogue comes, and what is wrong with the files",
                description="For admins. The service goes on with what it read at its start.",
                scope=READ,
                replies={200: Reply("Entries and problems", CatalogEntriesOut)},
            ),
        ),
    ),
)
