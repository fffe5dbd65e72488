"""Turns our errors into the hub's spawn error: status, reason label, plain words, HTML and headers."""

from __future__ import annotations

import math
from html import escape
from urllib.parse import urlencode

from jupyterhub.spawner import SpawnException

from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, Reason

DEFAULT_RETRY_SECONDS = {429: 60, 503: 5}
"""``Retry-After`` where the error does not say."""


def launch_url(base_url: str, **prefill: str) -> str:
    """Return the address of the Launch page, with its form filled in."""
    query = urlencode({key: value for key, value in prefill.items() if value})
    return f"{base_url}services/platform/launch" + (f"?{query}" if query else "")


def refusal(error: AIPlatformError, base_url: str, *, log_tail: str = "", link: str = "") -> SpawnException:
    """Return the spawn error that says what the error says, at every door.

    Parameters
    ----------
    error
        Why the server does not start.
    base_url
        The hub's base URL, with slashes at both ends.
    log_tail
        Last lines of the server's log, shown as they are (escaped).
    link
        Where to go next; the Launch page if empty.
    """
    status = error.status if error.status in range(400, 600) else 500
    html = _html(error, link or launch_url(base_url), log_tail)
    sentence = f"{error.message} The last lines of its log:\n{log_tail}" if log_tail else error.message
    exception = SpawnException(sentence, reason=error.code, log_message=error.message, message_html=html, status_code=status)
    # The spawn page and the progress bar read these instead of message and message_html (JupyterHub 6.1.1).
    exception.jupyterhub_message = sentence
    exception.jupyterhub_html_message = html
    exception.headers = dict(error.headers)
    seconds = error.retry_after_seconds or DEFAULT_RETRY_SECONDS.get(status)
    if seconds is not None:
        exception.headers.setdefault("Retry-After", str(math.ceil(seconds)))
    return exception


def confirm_on_launch(query: dict[str, list[str]], server_name: str, base_url: str) -> SpawnException:
    """Return the refusal of a start by a mere link, leading to the Launch page with the same choices."""
    prefill = {key: values[0][:255] for key, values in query.items() if key in {"environment_template", "gpus", "gpu_type", "project"} and values}
    error = InvalidOptionError("A link cannot start a server. Look at the choices and confirm them on the Launch page.")
    return refusal(error, base_url, link=launch_url(base_url, **prefill, server_name=server_name))


def _html(error: AIPlatformError, link: str, log_tail: str) -> str:
    parts = [f"<p>{escape(error.message)}</p>"]
    items = "".join(_item(reason, error.message) for reason in error.reasons)
    if items:
        parts.append(f"<ul>{items}</ul>")
    if log_tail:
        parts.append(f'<p>The last lines of its log:</p><pre class="aiplatform-log-tail">{escape(log_tail)}</pre>')
    parts.append(f'<p><a href="{escape(link)}">Open the Launch page</a></p>')
    return "".join(parts)


def _item(reason: Reason, already_said: str) -> str:
    words = [] if reason.message == already_said else [escape(reason.message)]
    if reason.field and reason.allowed:
        words.append(f"Allowed: {escape(', '.join(reason.allowed))}.")
    words.extend(escape(remedy) for remedy in reason.remedies)
    return f"<li>{' '.join(words)}</li>" if words else ""
