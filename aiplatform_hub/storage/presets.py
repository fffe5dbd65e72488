"""Choices of a launch that people keep."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select, update

from aiplatform_hub.domain.presets import Preset
from aiplatform_hub.storage.schema import launch_presets


class PresetStore:
    """Rows of ``launch_presets``."""

    def insert(self, connection: Connection, preset: Preset) -> None:
        """Store a preset.

        Raises
        ------
        TakenError
            If its owner has one of this name.
        """
        values = {name: getattr(preset, name) for name in ("id", "user_id", "name", "may_wait", "created_at", "deleted_at")}
        connection.execute(insert(launch_presets).values(**values, options=dict(preset.options)))

    def of(self, connection: Connection, user_id: int) -> tuple[Preset, ...]:
        """Return a person's presets by name, deleted ones not among them."""
        columns = launch_presets.c
        statement = select(launch_presets).where(columns.user_id == user_id, columns.deleted_at.is_(None)).order_by(columns.name, columns.id)
        return tuple(_preset(row) for row in connection.execute(statement).mappings())

    def find(self, connection: Connection, preset_id: UUID, user_id: int) -> Preset | None:
        """Return a preset of this person, also a deleted one; None if there is none."""
        columns = launch_presets.c
        row = connection.execute(select(launch_presets).where(columns.id == preset_id, columns.user_id == user_id)).mappings().one_or_none()
        return None if row is None else _preset(row)

    def mark(self, connection: Connection, preset_id: UUID, deleted_at: datetime | None) -> None:
        """Delete a preset for now, or bring it back.

        Raises
        ------
        TakenError
            If its owner has another of this name meanwhile.
        """
        connection.execute(update(launch_presets).where(launch_presets.c.id == preset_id).values(deleted_at=deleted_at))


def _preset(row: RowMapping) -> Preset:
    return Preset(**{name: row[name] for name in Preset.__slots__})
