"""What people do with the choices that they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub.domain.options import options_of
from aiplatform_hub.domain.presets import MAX_PRESETS, Preset, preset_name
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.errors import ConflictError, NotFoundError, Reason
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.presets import PresetStore

_IS_TAKEN = "You have saved a choice under this name already. Use another name, or delete that one first."
_IS_FULL = f"You have saved {MAX_PRESETS} choices, which is the most there can be. Delete one first."


class Presets:
    """Saves, lists, deletes and brings back; each person their own only."""

    def __init__(self, *, database: Database, presets: PresetStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._presets = presets
        self._clock = clock

    def of(self, user_id: int) -> tuple[Preset, ...]:
        """Return a person's presets by name."""
        with self._database.read() as connection:
            return self._presets.of(connection, user_id)

    def find(self, preset_id: UUID, user_id: int) -> Preset | None:
        """Return a preset of a person, also a deleted one; None if there is none."""
        with self._database.read() as connection:
            return self._presets.find(connection, preset_id, user_id)

    def save(self, user_id: int, name: str, request: LaunchRequest, *, may_wait: bool) -> Preset:
        """Keep a choice, which is a valid request, under a name.

        Raises
        ------
        InvalidOptionError
            If the name is none.
        ConflictError
            If the person has one of this name, or as many as there can be.
        """
        preset = Preset(uuid4(), user_id, preset_name(name), options_of(request), may_wait, self._clock())
        try:
            with self._database.write() as connection:
                self._refuse_too_many(connection, user_id)
                self._presets.insert(connection, preset)
        except TakenError as error:
            raise _conflict(_IS_TAKEN, "name") from error
        return preset

    def delete(self, preset_id: UUID, user_id: int) -> Preset:
        """Take a preset away; it can be brought back. May be repeated.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        """
        with self._database.write() as connection:
            preset = self._found(connection, preset_id, user_id)
            if preset.deleted_at is not None:
                return preset
            deleted = replace(preset, deleted_at=self._clock())
            self._presets.mark(connection, preset_id, deleted.deleted_at)
        return deleted

    def restore(self, preset_id: UUID, user_id: int) -> Preset:
        """Bring a deleted preset back. May be repeated.

        Raises
        ------
        NotFoundError
            If there is none any more, or it is somebody else's.
        ConflictError
            If the person has another of this name meanwhile, or as many as there can be.
        """
        try:
            with self._database.write() as connection:
                preset = self._found(connection, preset_id, user_id)
                if preset.deleted_at is None:
                    return preset
                self._refuse_too_many(connection, user_id)
                self._presets.mark(connection, preset_id, None)
        except TakenError as error:
            raise _conflict(_IS_TAKEN, "name") from error
        return replace(preset, deleted_at=None)

    def _found(self, connection: Connection, preset_id: UUID, user_id: int) -> Preset:
        preset = self._presets.find(connection, preset_id, user_id)
        if preset is None:
            raise NotFoundError("There is no such saved choice, or it is not yours.")
        return preset

    def _refuse_too_many(self, connection: Connection, user_id: int) -> None:
        if len(self._presets.of(connection, user_id)) >= MAX_PRESETS:
            raise _conflict(_IS_FULL, "name")


def _conflict(message: str, field: str) -> ConflictError:
    return ConflictError(message, (Reason(ConflictError.code, message, field=field),))
