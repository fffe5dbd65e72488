"""Presets: choices of a launch that the caller keeps under a name."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from aiplatform_hub.domain.presets import MAX_NAME_LENGTH, MAX_PRESETS, Preset
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.services.platform.auth import READ, START
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import invalid, options_in, read_body
from aiplatform_hub.services.platform.models import DecisionRequest
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Instant, Output
from aiplatform_hub.web.launch_form import FAIL, QUEUE
from aiplatform_hub.web.view_models.paths import Paths


class PresetOut(Output):
    """A choice that the caller keeps."""

    id: UUID
    name: str
    options: dict[str, Any] = Field(description="Launch options, as `POST allocations` takes them")
    if_full: Literal["queue", "fail"]
    launch_url: str = Field(description="The Launch page with these choices")
    created_at: Instant
    deleted_at: Instant | None = Field(description="Null while it is there; a deleted one can be brought back for 30 days")


class PresetList(Output):
    """All presets of the caller, by name."""

    items: tuple[PresetOut, ...]


class PresetBody(DecisionRequest):
    """What to keep, and under which name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]


class _Own(ApiHandler):
    async def owner(self, scope: str) -> Caller:
        """Return the caller as the hub knows them.

        Raises
        ------
        NotFoundError
            If a service asks: it has no presets.
        """
        if not self.principal.is_user:
            raise NotFoundError("Services have no presets.")
        await self.require(scope, self.principal.name)
        return await self.platform.sessions.caller(self.principal.name)

    def body_of(self, preset: Preset) -> PresetOut:
        """Return a preset as it is sent."""
        choices = {**preset.options, **({} if preset.may_wait else {"if_full": FAIL})}
        return PresetOut(
            id=preset.id,
            name=preset.name,
            options=dict(preset.options),
            if_full="queue" if preset.may_wait else "fail",
            launch_url=Paths(self.platform.settings.base_url).launch(**choices),
            created_at=preset.created_at,
            deleted_at=preset.deleted_at,
        )


class PresetsHandler(_Own):
    """``GET presets`` and ``POST presets``."""

    async def get(self) -> None:
        """Answer with the caller's presets."""
        if not self.principal.is_user:
            self.reply(PresetList(items=()))
            return
        owner = await self.owner(READ)
        found = await self.platform.run(self.platform.factory.presets.of, owner.user_id)
        self.reply(PresetList(items=tuple(self.body_of(preset) for preset in found)))

    async def post(self) -> None:
        """Keep a choice; it is judged by the same rules as a launch."""
        owner = await self.owner(START)
        body = read_body(PresetBody, self.body_object())
        if body.user not in {None, owner.user_name}:
            raise invalid("user", "Presets are the caller's own: leave user out.")
        request = await self.platform.sessions.resolve(options_in(body), owner)
        save = self.platform.factory.presets.save
        self.reply(self.body_of(await self.platform.run(save, owner.user_id, body.name, request, may_wait=body.if_full == QUEUE)), 201)


class PresetHandler(_Own):
    """``DELETE presets/{id}``."""

    async def delete(self, preset_id: str) -> None:
        """Take a preset away for now."""
        owner = await self.owner(START)
        self.reply(self.body_of(await self.platform.run(self.platform.factory.presets.delete, uuid_of(preset_id), owner.user_id)))


class RestoreHandler(_Own):
    """``POST presets/{id}/restore``."""

    async def post(self, preset_id: str) -> None:
        """Bring a preset back."""
        owner = await self.owner(START)
        self.reply(self.body_of(await self.platform.run(self.platform.factory.presets.restore, uuid_of(preset_id), owner.user_id)))


def uuid_of(text: str) -> UUID:
    """Return the id in an address.

    Raises
    ------
    NotFoundError
        If it is none, so that there is nothing there.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError("There is no such saved choice, or it is not yours.") from error


_GONE = {200: Reply("The preset", PresetOut)}

RESOURCES = (
    Resource(
        PresetsHandler,
        (
            Route(
                method="GET",
                path="api/v1/presets",
                summary="The launches that the caller has saved under a name",
                description="Their own only, also for admins.",
                scope=READ,
                replies={200: Reply("All of them, by name", PresetList)},
                errors=(404,),
            ),
            Route(
                method="POST",
                path="api/v1/presets",
                summary="Save a launch under a name; nothing is started",
                description=f"Options are judged as for a launch and stored with every default filled in. A person has at most {MAX_PRESETS}.",
                scope=START,
                body=PresetBody,
                replies={201: Reply("Saved", PresetOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        PresetHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/presets/{id}",
                summary="Delete a preset; may be repeated, and undone for 30 days",
                scope=START,
                replies=_GONE,
                errors=(404,),
            ),
        ),
    ),
    Resource(
        RestoreHandler,
        (
            Route(
                method="POST",
                path="api/v1/presets/{id}/restore",
                summary="Bring a deleted preset back; may be repeated",
                scope=START,
                replies=_GONE,
                errors=(404, 409),
            ),
        ),
    ),
)
