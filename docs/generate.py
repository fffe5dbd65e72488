"""Write ``docs/reference`` from the code: ``python docs/generate.py``. A test compares the files with what this gives."""  # noqa: INP001 - a script

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

import aiplatform_hub
from aiplatform_hub import metrics
from aiplatform_hub.catalog.lengths import format_length
from aiplatform_hub.catalog.loader import DEFAULT_DIR, load_catalog
from aiplatform_hub.catalog.policies import NEVER, Length, Number, PolicyModel, ReservationModel, field_of
from aiplatform_hub.cli.main import COMMANDS, main
from aiplatform_hub.domain.catalog import LimitAmount, Range
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.policy import PRESETS, SHIPPED, Policy
from aiplatform_hub.domain.units import format_bytes, format_number
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.services.platform.api.resources import ROUTES
from aiplatform_hub.services.platform.openapi import ERROR_WORDS, document

FOLDER = Path(__file__).parent / "reference"
PACKAGE = Path(aiplatform_hub.__file__).parent
OPERATORS = (
    "run",
    "setup-proxy",
    "token",
    "stop-sessions",
    "environments",
    "policy",
    "migrate",
    "move-cluster",
    "check-catalog",
    "verify-ledger",
    "simulate",
    "export-trace",
    "report",
    "completion",
)
"""Commands that do not talk REST."""
AUDIT_ACTIONS = {
    "grant": "An admin gave a person a tier until a date. `detail` holds tier, end and reason.",
    "revoke": "An admin took a granted tier back.",
    "restore_grant": "An admin took back that a grant was ended. `detail` holds the grant, its tier and its end.",
    "grant_limit": "An admin raised a limit of a person or group until an instant. `detail` holds the limit, its amount, end and reason.",
    "end_limit_grant": "An admin ended a raised limit. `detail` is as for `grant_limit`.",
    "restore_limit_grant": "An admin took back that a raised limit was ended. `detail` is as for `grant_limit`.",
    "apply_policy": "The queue follows another policy (`aiplatform policy apply`, or `PUT policy`). `target` is its version, `detail` holds what it changed.",
    "set_budget": "A budget was set for a cost centre, project or person. `detail` holds amount, span, soft limits, what it does when it is spent, and the reason.",
    "end_budget": "A budget was ended",
    "grant_credit": "An admin gave a person, project or cost centre a credit. `detail` holds its id, amount, priority, span and reason.",
    "end_credit": "An admin ended a credit. `detail` holds its id.",
    "add_membership": "An admin let a person belong to a project for a span. `detail` holds project, span and reason.",
    "end_membership": "An admin ended a membership. `detail` is as for `add_membership`.",
    "announce": "An admin told everybody something. `detail` holds level, text and span.",
    "withdraw_announcement": "An admin took an announcement back.",
    "restore_announcement": "An admin let a withdrawn announcement count again.",
    "draft_invoice": "Somebody drafted the invoice of a cost centre's month. `detail` holds cost centre, month, total and currency, as for the next four.",
    "drop_invoice": "Somebody deleted a draft.",
    "issue_invoice": "Somebody gave a draft its number, which is `target`.",
    "pay_invoice": "Somebody noted that an invoice was paid. `detail` holds also what the payment is booked as.",
    "credit_invoice": "Somebody took an invoice back. `target` is the credit note; `detail` holds also the invoice's number and the reason.",
    "open_dispute": "A billing viewer disputed a line of an invoice. `target` is the dispute, `detail` holds invoice, position and text, as for the next three.",
    "reply_dispute": "A billing viewer said more about a dispute, which is open again.",
    "answer_dispute": "An admin answered a dispute.",
    "withdraw_dispute": "Whoever opened a dispute withdrew it.",
    "add_rate_card": "An admin recorded a rate card that is to come. `target` is its version, `detail` holds when it begins, the reason and the card.",
    "change_rate_card": "An admin let another card take the place of one that had not begun. `detail` is as for `add_rate_card`.",
    "withdraw_rate_card": "An admin withdrew a rate card that had not begun. `detail` holds when it would have begun and the reason.",
    "choose_showback": "A project lead switched the monthly mail about their projects on or off. `detail` holds which.",
    "launch_session": "Somebody started a server for another person, or tried to. `detail` holds person and server.",
    "move_cluster": "An operator let the database belong to another cluster (`aiplatform move-cluster`). `target` is the new one, `detail` holds the one before and what was open.",
    "move_session": "An admin charged an ended session to another project. `detail` holds project and cost centre before and after, and the reason.",
    "stop_session": "Somebody stopped another person's server. `detail` holds the message to its owner.",
    "move_up": "An admin moved a request to the front of the queue. `detail` holds reason, person and the place before.",
    "undo_move_up": "An admin put a request that was moved up back to its usual place. `detail` holds the person.",
    "drain": "An admin let nothing new start on a GPU, or on the whole machine. `target` names it, `detail` holds the reason.",
    "undo_drain": "An admin let drained GPUs be given out again.",
    "withdraw_request": "Somebody withdrew another person's request from the queue. `detail` holds the message to its owner.",
    "change_request": "Somebody changed how many GPUs another person's request in the queue asks for. `detail` holds the new count.",
    "confirm_request": "Somebody renewed the interest in another person's request in the queue.",
    "release_session": "The keeper decided to end a session, because its GPUs were idle, it was over its cap, or a class began. `detail` holds cause and person.",
    "extend_session": "Somebody extended another person's session. `detail` holds until when.",
    "METHOD path": "A request to the platform service was refused: the token was wrong, lacked the scope, or the thing is another person's. "
    "`detail` holds the error's code, the address it came from and the request's number. `action` is the method and the path, for example `POST /services/platform/api/v1/allocations`.",
}
"""What each action means; a test compares the names with those in the code."""

Row = Sequence[object]


def table(headings: Sequence[str], rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").strip()


def page(title: str, *parts: str) -> str:
    """Return a whole page."""
    note = "<!-- Made by `python docs/generate.py`; change the code, not this file. -->"
    return "\n\n".join((f"# {title}", note, *(part for part in parts if part))) + "\n"


# The command line


def cli() -> str:
    """Return the reference of the ``aiplatform`` command."""
    context = click.Context(main, info_name="aiplatform")
    users = [name for name in COMMANDS if name not in OPERATORS]
    parts = [
        "Each command prints help with `--help`, and most take `--json`. Exit codes: 0 done, 1 refused, 2 wrong use or configuration, 3 not available now, 130 interrupted while waiting.",
        "## For users",
        "They talk to the hub at `AIPLATFORM_URL` with the token in `AIPLATFORM_TOKEN`.",
        *(_command(main.get_command(context, name), f"aiplatform {name}") for name in users),
        "## For operators",
        "They work on the data directory, as the account that runs the hub; `simulate` and `completion` need none.",
        *(_command(main.get_command(context, name), f"aiplatform {name}") for name in COMMANDS if name in OPERATORS),
    ]
    return page("Command line", *parts)


def _command(command: click.Command | None, path: str) -> str:
    if command is None:
        raise LookupError(path)
    context = click.Context(command, info_name=path)
    usage = " ".join((path, *command.collect_usage_pieces(context)))
    parts = [f"### `{path}`", inspect.cleandoc(command.help or ""), f"```\n{usage}\n```"]
    if isinstance(command, click.Group):
        parts += [_command(command.get_command(context, name), f"{path} {name}") for name in command.list_commands(context)]
        return "\n\n".join(parts)
    rows = [_option(parameter, context) for parameter in command.params if isinstance(parameter, click.Option)]
    return "\n\n".join((*parts, table(("Option", "Meaning"), rows)) if rows else parts)


def _option(option: click.Option, context: click.Context) -> Row:
    record = option.get_help_record(context)
    name, meaning = record or (" / ".join(option.opts), "")
    return f"`{name}`", meaning


# Configuration


def traits() -> str:
    """Return the reference of ``c.AIPlatform``."""
    parts = ["Set these in `jupyterhub_config.py`. What the platform offers is the [catalogue](catalogue.md)'s matter."]
    for name, trait in sorted(AIPlatform.class_own_traits(config=True).items()):
        kind = type(trait).__name__
        parts += [f"## `c.AIPlatform.{name}`", f"*{kind}, default `{trait.default()!r}`*", inspect.cleandoc(trait.help)]
    return page("Configuration", *parts)


# Metrics


def metric_page() -> str:
    """Return the reference of the metrics."""
    rows = [_metric(metric) for metric in metrics.own_metrics()]
    rows.sort()
    places = (
        "The hub serves its own at `/hub/metrics`, the platform at `/services/platform/metrics`, the keeper on `127.0.0.1` at its port, path `/metrics`. "
        "Counters are per process: add up the processes. Metrics marked *keeper* describe what the database says and are served by the keeper alone."
    )
    return page("Metrics", places, table(("Metric", "Type", "Labels", "Meaning", "Served by"), rows))


def _metric(metric: Any) -> tuple[str, ...]:
    family = next(iter(metric.collect()))
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"  # noqa: SLF001 - there is no public way
    served = "keeper" if name in metrics.STATE_REGISTRY._names_to_collectors else "each process"  # noqa: SLF001 - as above
    return f"`{name}`", family.type, labels, family.documentation, served


# The catalogue


def catalogue() -> str:
    """Return the reference of the built-in catalogue."""
    catalog = load_catalog()
    files = sorted(path.name for path in DEFAULT_DIR.glob("*.yaml"))
    templates = [
        (f"`{t.name}`", t.display_name, _range(t.gpus), _range(t.memory_gib), _range(t.cpu_cores), f"`images/{t.image}`" if t.image else "the hub's own")
        for t in catalog.environment_templates.values()
    ]
    tiers = [(f"`{t.name}`", t.priority, ", ".join(t.groups) or "–", "; ".join(map(_limit, t.limits))) for t in catalog.tiers.values()]
    dimensions = [(f"`{d.name}`", d.label, d.kind.value, d.unit) for d in DIMENSIONS.values()]
    parts = [
        "What comes with the package. A folder of your own is laid over it, entry by entry: see [add an environment template](../how-to/add-an-environment-template.md) "
        "and [change quotas](../how-to/change-quotas.md). Files: " + ", ".join(f"`{name}`" for name in files) + ".",
        "## Environment templates",
        "Ranges are lowest–highest, with the default in brackets.",
        table(("Name", "Shown as", "GPUs", "Memory, GiB", "CPU cores", "Environment"), templates),
        "## Tiers",
        table(("Name", "Priority", "Groups", "Limits"), tiers),
        "## Dimensions",
        "`concurrent` is the sum over open allocations, `windowed` the metered sum of the last days, `observed` is measured.",
        table(("Dimension", "Shown as", "Counted", "Unit"), dimensions),
        "## GPU types",
        table(("Name", "Shown as", "Fragments of the product name"), [(f"`{t.name}`", t.display_name, ", ".join(t.match) or "–") for t in catalog.gpu_types.values()]),
        "## Projects and cost centres",
        table(("Project", "Shown as", "Cost centre", "Groups"), [(f"`{p.name}`", p.display_name, f"`{p.cost_centre}`", ", ".join(p.groups) or "everybody") for p in catalog.projects.values()]),
        "## Rates",
        *(_rates(card) for card in catalog.rate_cards),
    ]  # fmt: skip
    return page("Catalogue", *parts)


def _rates(card: Any) -> str:
    rows = [(f"GPU `{name}`", price) for name, price in card.gpu_hour.items()] + [("an environment without GPUs", card.cpu_only_hour)]
    return f"Card `{card.version}`, from {card.effective_from.isoformat()}, {card.currency} for one hour:\n\n" + table(("What", "Price"), rows)


def _range(value: Range) -> str:
    return f"{value.minimum}–{value.maximum} ({value.default})"


def _limit(limit: LimitAmount) -> str:
    dimension = DIMENSIONS[limit.dimension]
    amount = format_bytes(limit.amount) if dimension.unit == "B" else format_number(limit.amount)
    kind = f" of {limit.gpu_type}" if limit.gpu_type else ""
    window = f" in {limit.window_days} days" if limit.window_days else ""
    return f"{dimension.label}{kind}: {amount}{window}"


# The policy


def policy() -> str:
    """Return the reference of the policy file."""
    words = field_docstrings(Policy)
    rows = [
        (f"`{key}`", words[field_of(key)], _allowed(field), _policy_value(key, getattr(SHIPPED, field_of(key))))
        for key, field in PolicyModel.model_fields.items()
    ]
    windows = [(f"`{key}`", _allowed(field), "yes" if field.is_required() else "no") for key, field in ReservationModel.model_fields.items()]
    parts = [
        "A YAML file of these keys; what it leaves out is as shipped, or as in the preset under it. [Try a policy](../how-to/try-a-policy.md) says how to see what one does, and how to apply it. "
        "A length of time is a number with `d`, `h`, `min` or `s`, or several: `3d`, `90min`, `1h 30min`. Presets: " + ", ".join(f"`{name}`" for name in PRESETS) + ".",
        "## Keys",
        table(("Key", "Meaning", "Allowed", "Shipped"), rows),
        "## Reservations",
        "Each of `reservations` keeps GPUs for one project in a half-open window:",
        table(("Key", "Allowed", "Needed"), windows),
    ]  # fmt: skip
    return page("Policy", *parts)


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the first paragraph of the docstring under each field of a class, without its unit, which a length's value has."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    found: dict[str, str] = {}
    if isinstance(body, ast.ClassDef):
        for field, text in pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                sentence = inspect.cleandoc(str(text.value.value)).partition("\n\n")[0]
                found[ast.unparse(field.target)] = (
                    re.sub(r" In (GPU-)?seconds\.$", "", sentence).replace("; None is never", "").replace("None is", f"`{NEVER}` is")
                )
    return found


def _allowed(field: Any) -> str:
    kind = next((each for each in field.metadata if isinstance(each, Length | Number)), None)
    if kind is not None:
        return kind.words
    annotation = str(field.annotation)
    if field.annotation is bool:
        return "`true` or `false`"
    if annotation.startswith("dict"):
        inner = next(each for each in field.annotation.__args__[1].__metadata__ if isinstance(each, Length | Number))
        return f"a mapping from names to {inner.words}"
    if annotation.startswith("list"):
        return "a list of [reservations](#reservations)"
    return "an instant with its time zone" if "datetime" in annotation else "a name"


def _policy_value(key: str, value: object) -> str:
    if value is None:
        return f"`{NEVER}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{format_length(value)}`" if key != field_of(key) else f"`{value:g}`"
    return "–" if not value else f"`{value}`"


# The audit trail


def actions_in_code() -> set[str]:
    """Return the name of every act that the code records, found where it calls the audit trail."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                found |= _action_of(node)
    return found


def _action_of(call: ast.Call) -> set[str]:
    function = ast.unparse(call.func)
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "action"), None)
    if function.endswith(".audit") and call.args:
        named = call.args[0]
    elif not (function == "AuditEvent" or ("audit" in function and function.endswith((".record", "_for_another")))):
        return set()
    if isinstance(named, ast.Constant):
        return {str(named.value)}
    if isinstance(named, ast.Subscript):
        return {"METHOD path"}
    # a name passes on what its caller said; anything else is a new way to record, which needs words here
    return set() if named is None or isinstance(named, ast.Name) else {ast.unparse(named)}


def audit_events() -> str:
    """Return the reference of the audit trail."""
    columns = (
        ("`at`", "instant, UTC, in microseconds since 1970"),
        ("`actor`", "who did it; `unknown` without a valid token"),
        ("`action`", "one of the actions below"),
        ("`target`", "whom or what, for example `user:alice` or `allocation:<id>`"),
        ("`outcome`", "`done`, `allowed`, `denied` (by a limit) or `refused` (no right to)"),
        ("`detail`", "more, as JSON"),
    )
    words = "One row for each privileged or refused act, in the table `audit_events`; the admin page shows the newest. Rows are only added."
    return page(
        "Audit events",
        words,
        "## Columns",
        table(("Column", "Meaning"), columns),
        "## Actions",
        table(("Action", "When"), [(f"`{name}`", text) for name, text in AUDIT_ACTIONS.items()]),
    )


# The REST API


def rest() -> str:
    """Return the reference of the REST API, from its OpenAPI document."""
    described = document(ROUTES, server="/services/platform/")
    parts = [
        described["info"]["description"],
        (
            "Base path `/services/platform/` on the hub's public address. `GET api/v1/openapi.json` is the same description for programs. "
            "Send a token as `Authorization: Bearer …` or `Authorization: token …`: [how to get one and use it](../how-to/use-the-api.md). "
            "Refusals are `application/problem+json` (RFC 9457) with a stable `code` and `reasons[]`."
        ),
        "## Refusals",
        table(("Status", "Code"), ERROR_WORDS.items()),
        "## Calls",
        *(_operation(method, path, operation) for path, methods in described["paths"].items() for method, operation in methods.items()),
        "## Objects",
        *(_schema(name, schema) for name, schema in described["components"]["schemas"].items()),
    ]
    return page("REST API", *parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"### `{method.upper()} {path.removeprefix('/')}`", operation["summary"] + ".", operation["description"]]
    if operation["parameters"]:
        rows = [(f"`{p['name']}`", p["in"], _kind(p["schema"]), p.get("description", "")) for p in operation["parameters"]]
        parts.append(table(("Parameter", "In", "Type", "Meaning"), rows))
    if "requestBody" in operation:
        parts.append("Body: " + _kind(operation["requestBody"]["content"]["application/json"]["schema"]) + ".")
    answers = operation["responses"].items()
    rows = [
        (status, reply["description"], ", ".join(_kind(content["schema"]) for content in reply.get("content", {}).values()) or "–")
        for status, reply in answers
        if status < "400"
    ]
    refusals = "Refusals: " + ", ".join(status for status, _ in answers if status >= "400") + "."
    return "\n\n".join((*filter(None, parts), table(("Status", "Meaning", "Content"), rows), refusals))


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"`{key}`", _kind(value), "yes" if key in required else "no", value.get("description", ""))
        for key, value in schema.get("properties", {}).items()
    ]  # fmt: skip
    text = schema.get("description", "")
    values = "Values: " + ", ".join(f"`{value}`" for value in schema["enum"]) + "." if "enum" in schema else ""
    return "\n\n".join(filter(None, (f"### {name}", text, values, table(("Field", "Type", "Always there", "Meaning"), rows) if rows else "")))


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(_kind(choice) for choice in choices)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    name = str(schema.get("type", "any"))
    return f"{name} ({schema['format']})" if "format" in schema else name


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "traits.md": traits,
    "metrics.md": metric_page,
    "catalogue.md": catalogue,
    "policy.md": policy,
    "audit-events.md": audit_events,
    "rest.md": rest,
}
"""Every page of the reference by file name."""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())
