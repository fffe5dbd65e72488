"""What trying a container image shows, and whether the platform can start it."""

from __future__ import annotations

import re
from dataclasses import dataclass

JUPYTERHUB_MAJOR = 6
"""Servers of this version of JupyterHub understand the hub; others are not supported."""

TRIAL_SCRIPT = """\
command -v jupyterhub-singleuser >/dev/null && echo "jupyterhub=$(jupyterhub-singleuser --version 2>&1 | tail -n 1)"
command -v jupyter-lab >/dev/null && echo "jupyterlab=$(jupyter-lab --version 2>/dev/null | tail -n 1)"
python=$(command -v python || command -v python3) && echo "python=$($python -c 'import platform; print(platform.python_version())')"
echo end=
"""
"""What a trial runs in the image, with ``sh -c``, as the account that sessions have."""

_VERSION = re.compile(r"(\d+)\.\d+[\w.+-]*")
_LONGEST_QUOTED = 200


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image answered."""

    jupyterhub: str | None
    """What ``jupyterhub-singleuser --version`` printed; None if there is no such program."""
    jupyterlab: str | None
    python: str | None


def read_facts(printed: str) -> ImageFacts:
    """Return what the trial script printed, whatever an entry point printed around it."""
    found = dict(re.findall(r"(?m)^(jupyterhub|jupyterlab|python)=(.*?)\s*$", printed))
    return ImageFacts(found.get("jupyterhub"), found.get("jupyterlab") or None, found.get("python") or None)


def problem_of(facts: ImageFacts) -> str | None:
    """Say why the platform cannot start servers from an image; None if it can."""
    add = f"In its Dockerfile: RUN pip install 'jupyterhub>={JUPYTERHUB_MAJOR},<{JUPYTERHUB_MAJOR + 1}' jupyterlab"
    if facts.jupyterhub is None:
        return f"It has no jupyterhub-singleuser on the path. {add}"
    version = _VERSION.fullmatch(facts.jupyterhub)
    if not version:
        return f"Its jupyterhub-singleuser does not start: {facts.jupyterhub[:_LONGEST_QUOTED]}"
    major = int(version.group(1))
    if major != JUPYTERHUB_MAJOR:
        age = "too old" if major < JUPYTERHUB_MAJOR else "too new"
        return f"Its jupyterhub-singleuser {facts.jupyterhub} is {age} for this hub, which speaks with {JUPYTERHUB_MAJOR}.x. {add}"
    return None
