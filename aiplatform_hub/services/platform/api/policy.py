"""The queue's policy: read by everybody, applied by admins."""

from __future__ import annotations

from aiplatform_hub.errors import ConfigurationError, InvalidOptionError, Reason
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.policy_models import PolicyBody, PolicyOut, policy_out
from aiplatform_hub.services.platform.routes import Reply, Resource, Route

APPLY = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""
DOCUMENT = "document"


class PolicyHandler(ApiHandler):
    """``GET policy`` and ``PUT policy``."""

    async def get(self) -> None:
        """Answer with what counts now."""
        self.reply(policy_out(await self.platform.run(self.platform.factory.policies.in_force)))

    async def put(self) -> None:
        """Apply a document, or refuse it with everything that is wrong with it."""
        if not (self.principal.is_admin and self.principal.holds(APPLY)):
            raise insufficient_scope(APPLY)
        body = read_change(PolicyBody, self.body_object())
        policies = self.platform.factory.policies
        try:
            await self.platform.run(policies.apply, body.document, name=DOCUMENT, by=self.principal.name)
        except ConfigurationError as error:
            reasons = tuple(Reason("invalid_option", reason.message, field=DOCUMENT) for reason in error.reasons)
            raise InvalidOptionError(error.message, reasons) from error
        self.reply(policy_out(await self.platform.run(policies.in_force)))


RESOURCES = (
    Resource(
        PolicyHandler,
        (
            Route(
                method="GET",
                path="api/v1/policy",
                summary="The policy that the queue follows: who is next, what is taken back when, for which classes GPUs are kept",
                scope=READ,
                replies={200: Reply("The policy", PolicyOut)},
            ),
            Route(
                method="PUT",
                path="api/v1/policy",
                summary="Let the queue follow another policy",
                description="For admins. It counts within seconds, everywhere. A document with anything wrong changes nothing; `reasons` names all of it, with lines.",
                scope=APPLY,
                body=PolicyBody,
                replies={200: Reply("The policy that counts now", PolicyOut)},
                errors=(400,),
            ),
        ),
    ),
)
