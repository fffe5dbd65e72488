"""Saved choices on the Launch page: save, delete, undo; by form and redirect, or in place by a script."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from aiplatform_hub.domain.presets import Preset
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError, InsufficientScopeError
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.pages.launch import LaunchPage, may_wait_of
from aiplatform_hub.web.launch_form import options_of_fields
from aiplatform_hub.web.view_models.presets import Act
from aiplatform_hub.web.view_models.problem import problem_of

_NOT_CHOICES = frozenset({"preset_name", "saved", "deleted"})


class _PresetPage(LaunchPage):
    async def get(self, *_: str) -> None:
        """Lead to Launch: a browser that opens the address again."""
        self.redirect(f"{self.paths.platform}launch", status=303)

    async def owner(self) -> Caller:
        """Return the reader, who may change what is theirs.

        Raises
        ------
        InsufficientScopeError
            If their token only reads.
        """
        caller = await self.caller()
        if not self.principal.may(START, caller.user_name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={caller.user_name}.")
        return caller

    async def done(self, caller: Caller, act: Act, **marks: object) -> None:
        """Answer with the page where a script asked, else lead to it."""
        choices = self.choices()
        if "HX-Request" in self.request.headers:
            await self.show_form(caller, choices, act=act)
            return
        self.redirect(self.paths.launch(**choices, **marks), status=303)

    async def refuse(self, caller: Caller, error: AIPlatformError, act: Act) -> None:
        """Answer with the page and the reason on it."""
        self.set_status(error.status)
        self.set_error_headers(error)
        await self.show_form(caller, self.choices(), act=act)

    def choices(self) -> Mapping[str, str]:
        """Return the submitted choice."""
        return {name: text for name, text in self.fields().items() if name not in _NOT_CHOICES}


class SavePresetHandler(_PresetPage):
    """``POST launch/presets``."""

    async def post(self) -> None:
        caller = await self.owner()
        fields = self.fields()
        name = fields.get("preset_name", "")
        try:
            request = await self.platform.sessions.resolve(options_of_fields(fields), caller)
            saved = await self.platform.run(self.factory.presets.save, caller.user_id, name, request, may_wait=may_wait_of(fields))
        except AIPlatformError as error:
            await self.refuse(caller, error, Act(problem=problem_of(error), name=name))
            return
        await self.done(caller, Act(saved=saved), saved=saved.id)


class _OnePreset(_PresetPage):
    async def change(self, preset_id: str, *, is_delete: bool) -> None:
        """Delete a preset, or bring it back."""
        caller = await self.owner()
        presets = self.factory.presets
        try:
            changed: Preset = await self.platform.run(presets.delete if is_delete else presets.restore, UUID(preset_id), caller.user_id)
        except AIPlatformError as error:
            await self.refuse(caller, error, Act(list_problem=problem_of(error)))
            return
        await self.done(caller, Act(deleted=changed) if is_delete else Act(), deleted=changed.id if is_delete else None)


class DeletePresetHandler(_OnePreset):
    """``POST launch/presets/ID/delete``."""

    async def post(self, preset_id: str) -> None:
        await self.change(preset_id, is_delete=True)


class RestorePresetHandler(_OnePreset):
    """``POST launch/presets/ID/restore``."""

    async def post(self, preset_id: str) -> None:
        await self.change(preset_id, is_delete=False)
