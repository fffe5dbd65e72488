"""Launch: choose, see what would happen, start. The form works with and without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

from aiplatform_hub.domain.announcements import planned_end
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.presets import Preset
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import AIPlatformError, InsufficientScopeError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import inside_of_templates, templates_for_others, unavailable_templates
from aiplatform_hub.operations.class_ends import class_ends
from aiplatform_hub.operations.prospects import Prospect
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.services.platform.sessions import Order, check_server_name
from aiplatform_hub.services.platform.terms import launch_terms
from aiplatform_hub.web.launch_form import FAIL, IF_FULL, QUEUE, Choices, choices_of, options_of_choices, options_of_fields, types_of
from aiplatform_hub.web.view_models.announcements import MaintenanceLine, maintenance_lines
from aiplatform_hub.web.view_models.budgets import after_sentence
from aiplatform_hub.web.view_models.launch import LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote
from aiplatform_hub.web.view_models.presets import Act, keep
from aiplatform_hub.web.view_models.problem import Problem, problem_of

NOTHING_DONE = Act()


class LaunchPage(Page):
    """The Launch page, whoever asks for it."""

    active = "launch"
    title = "Launch"

    async def show_form(self, caller: Caller, fields: Mapping[str, str], *, problem: Problem | None = None, act: Act = NOTHING_DONE) -> None:
        """Answer with the form for what was chosen so far."""
        form, choices = await self.platform.run(form_for, self.factory, caller, fields, problem)
        presets = await self.platform.run(self.factory.presets.of, caller.user_id)
        saved = keep(choices, presets, act, catalog=self.factory.catalog, paths=self.paths, origin=self.origin())
        maintenance = await self.platform.run(maintenance_of, self.factory, form)
        self.show("launch.html", form=form, keep=saved, maintenance=maintenance)

    def origin(self) -> str:
        """Return scheme and host by which people reach the hub."""
        public = urlsplit(self.platform.settings.public_url)
        return f"{public.scheme}://{public.netloc}" if public.netloc else f"{self.request.protocol}://{self.request.host}"


class LaunchHandler(LaunchPage):
    """``GET launch`` shows the form for the choices in the query; ``POST launch`` starts."""

    is_live = True

    async def get(self) -> None:
        caller = await self.caller()
        fields = self.fields()
        await self.show_form(caller, fields, act=await self.platform.run(_act, self.factory, caller, fields))

    async def post(self) -> None:
        caller = await self.caller()
        fields = self.fields()
        name = fields.get("server_name") or None
        try:
            if not self.principal.may(START, caller.user_name, server_name=name):
                raise InsufficientScopeError(f"This needs the scope {START}!user={caller.user_name}.")
            if name is not None:
                check_server_name(name)
            order = Order(options=options_of_fields(fields), user_name=caller.user_name, server_name=name, door="page", may_wait=may_wait_of(fields))
            allocation = await self.platform.sessions.launch(order, self.principal)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self.show_form(caller, fields, problem=problem_of(error))
            return
        waits = allocation.is_queued
        self.redirect(self.paths.home_card(allocation.id) if waits else self.paths.pending(caller.user_name, allocation.server_name), status=303)


def _act(factory: Factory, caller: Caller, fields: Mapping[str, str]) -> Act:
    """Return what was just saved or deleted, as the address says after a redirect."""
    saved, deleted = (_preset(factory, caller, fields.get(name, "")) for name in ("saved", "deleted"))
    is_there = saved is not None and saved.deleted_at is None
    return Act(saved=saved if is_there else None, deleted=deleted if deleted and deleted.deleted_at else None)


def maintenance_of(factory: Factory, form: LaunchForm) -> tuple[MaintenanceLine, ...]:
    """Return the maintenance windows that a start of this choice would reach into."""
    now, hours = factory.clock(), next((field.value for field in form.numbers if field.name == "max_hours"), "")
    planned = int(hours) if hours.isascii() and hours.isdigit() and len(hours) < 6 else None  # noqa: PLR2004 - far above what is allowed
    return maintenance_lines(factory.announcements.in_the_way(now, planned_end(now, planned)))


def _preset(factory: Factory, caller: Caller, text: str) -> Preset | None:
    try:
        return factory.presets.find(UUID(text), caller.user_id)
    except ValueError:
        return None


def may_wait_of(fields: Mapping[str, str]) -> bool:
    """Return whether what does not fit now joins the queue.

    Raises
    ------
    InvalidOptionError
        If the field says something else than the form can.
    """
    value = fields.get(IF_FULL) or QUEUE
    if value not in {QUEUE, FAIL}:
        raise invalid(IF_FULL, f"{IF_FULL} must be {QUEUE} or {FAIL}.", (QUEUE, FAIL))
    return value == QUEUE


def form_for(factory: Factory, caller: Caller, fields: Mapping[str, str], problem: Problem | None = None) -> tuple[LaunchForm, Choices]:
    """Read and word the form for what was chosen so far, and say what that is."""
    catalog = factory.catalog
    unavailable = unavailable_templates(catalog, factory.settings, factory.enforcer) | templates_for_others(catalog, caller.groups)
    offer = Offer(
        catalog,
        catalog.projects_of(caller.groups, caller.projects),
        tuple(c.name for c in factory.enforcer.capacity()),
        unavailable,
        inside_of_templates(catalog, factory.settings),
    )
    startable = [name for name in catalog.environment_templates if name not in unavailable]
    choices = choices_of(fields, catalog=catalog, gpu_types=offer.gpu_types, projects=offer.projects, startable=startable)
    now = factory.clock()
    price = factory.session_prices.of(caller, _request_of(choices))
    decisions, prospects = _decisions(factory, caller, choices, offer.gpu_types)
    before = {count: prospect.before for count, prospect in prospects.items() if prospect.before is not None}
    waits = {count: prospect.wait for count, prospect in prospects.items() if prospect.wait is not None}
    ends = class_ends(factory.policies, decisions, choices.project)
    terms = launch_terms(factory, caller, environment_template=choices.environment_template, project=choices.project, gpus=choices.gpus)
    quote = Quote(decisions, price.per_hour, price.card.currency, before, ends, waits, terms, now)
    after = factory.budgets.after(caller.user_name, replace(_request_of(choices), max_hours=choices.max_hours), price.per_hour, price.card.currency)
    left = tuple(sentence for each in after if (sentence := after_sentence(each, now)))
    return replace(launch_form(choices, offer, quote, problem), budgets=left), choices


def _request_of(choices: Choices) -> LaunchRequest:
    """Return what is chosen, whether it can be had or not, for its price."""
    return LaunchRequest(
        environment_template=choices.environment_template,
        gpus=choices.gpus,
        gpu_type=choices.gpu_type,
        memory_bytes=choices.memory_gib * GIB,
        cpu_cores=choices.cpu_cores,
        project=choices.project,
        cost_centre="",
    )


def _decisions(factory: Factory, caller: Caller, choices: Choices, gpu_types: tuple[str, ...]) -> tuple[dict[int, Decision], dict[int, Prospect]]:
    """Return a dry run for each GPU count that the template takes, the other choices as they are; and what is known of those that could be asked for."""
    template = factory.catalog.environment_templates[choices.environment_template]
    has_type = bool(types_of(template, gpu_types))
    requests, decisions = {}, {}
    for count in range(template.gpus.minimum, template.gpus.maximum + 1):
        if count and not has_type:
            continue
        try:
            requests[count] = resolve(options_of_choices(replace(choices, gpus=count)), catalog=factory.catalog, caller=caller, available_gpu_types=gpu_types)
        except AIPlatformError as error:
            decisions[count] = Decision(outcome=Outcome.DENY, error_code=error.code, reasons=error.reasons)
    prospects = factory.prospects.of_launch(caller, requests)
    return decisions | {count: prospect.decision for count, prospect in prospects.items()}, prospects
