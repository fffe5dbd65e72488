"""Makes the notifiers that the operator named, of whatever package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from aiplatform_hub.domain.notices import Notifier
from aiplatform_hub.errors import ConfigurationError

GROUP = "aiplatform.notifiers"
SECRET_FILE = "secret_file"  # noqa: S105 - an option's name


def installed() -> Mapping[str, EntryPoint]:
    """Return every notifier that some package registers, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_notifiers(options: Mapping[str, Mapping[str, Any]], secret_of: Callable[[str, str], str]) -> dict[str, Notifier]:
    """Return the notifiers by name, in the order in which they were named.

    Parameters
    ----------
    options
        What to load, with its options.
    secret_of
        Returns the secret of a notifier, given its name and its option ``secret_file``, which may be empty.

    Raises
    ------
    ConfigurationError
        If one is not installed, cannot be loaded, or does not like its options; the message names it.
    """
    known = installed()
    return {name: _made(name, dict(own), known, secret_of) for name, own in options.items()}


def _made(name: str, options: dict[str, Any], known: Mapping[str, EntryPoint], secret_of: Callable[[str, str], str]) -> Notifier:
    if name not in known:
        raise ConfigurationError(f"c.AIPlatform.notifiers names {name!r}, which no installed package registers; there are {', '.join(sorted(known))}.")
    secret = secret_of(name, str(options.pop(SECRET_FILE, "")))
    try:
        notifier: Notifier = known[name].load()(options, secret)
    except ConfigurationError:
        raise
    except Exception as error:  # a plug-in is somebody else's program: it may raise anything
        raise ConfigurationError(f"The notifier {name!r} ({known[name].value}) cannot be loaded: {type(error).__name__}: {error}.") from error
    return notifier
