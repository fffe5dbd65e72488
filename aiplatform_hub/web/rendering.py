"""Renders page templates: autoescape on, an unknown name is an error."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyterhub import __version__ as hub_version

from aiplatform_hub.web.no_breaks import keep_together

if TYPE_CHECKING:
    from aiplatform_hub.web.view_models.frame import Frame

WEB_DIR = Path(__file__).parent
STATIC_DIR = WEB_DIR / "static"
"""Stylesheet, script and the vendored htmx; served below ``static/`` of the platform service."""
APP_DIR = WEB_DIR / "app"
"""Manifest and service worker; served beside the pages, because a service worker speaks for its own folder."""
HUB_TEMPLATES_DIR = WEB_DIR / "hub_templates"
"""For ``c.JupyterHub.template_paths``; also holds the macros that both kinds of pages share."""


@cache
def environment() -> Environment:
    """Return the one Jinja environment of the platform's pages."""
    return Environment(
        loader=FileSystemLoader([WEB_DIR / "pages", HUB_TEMPLATES_DIR]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=keep_together,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def static_version() -> str:
    """Return what changes whenever a static file of ours, or the hub that ours stand beside, does: browsers keep each version for good."""
    files = (file for file in sorted(STATIC_DIR.rglob("*")) if file.is_file())
    return sha256(b"\0".join((hub_version.encode(), *(part for file in files for part in (file.name.encode(), file.read_bytes()))))).hexdigest()[:12]


def render(page_template: str, frame: Frame, **values: Any) -> str:
    """Return the HTML of a page in its frame."""
    return environment().get_template(page_template).render(frame=frame, **values)
