"""The operator's hub configuration, as far as the supervisor must know it before the hub reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets.config.loader import Config, PyFileConfigLoader

from aiplatform_hub.config import (
    DEFAULT_GRANT_GRACE_MINUTES,
    DEFAULT_QUEUE_INTEREST_HOURS,
    DEFAULT_STOP_INACTIVE_MINUTES,
    NO_KUEUE_HERE,
    QueueBackend,
)
from aiplatform_hub.domain.queueing import DEFAULT_MAX_QUEUED
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.supervisor.options import DEFAULT_HOST, DEFAULT_PORT, RunOptions


@dataclass(frozen=True, slots=True)
class OperatorConfig:
    """What the operator's file says about where the hub listens and who may log in."""

    file: Path | None
    text: str
    """The file's content: a change of it restarts the hub."""
    host: str
    port: int
    base_url: str
    """With slashes at both ends."""
    subdomain_host: str
    ssl_key: str
    ssl_cert: str
    has_authenticator: bool
    """Whether a class other than PAM is named."""
    has_allow_rule: bool
    has_admin: bool
    database_url: str
    catalog_dirs: tuple[Path, ...]
    simulated_gpus: int | None
    server_account: str
    """Account under which a trial as root runs servers."""
    max_queued_per_user: int = DEFAULT_MAX_QUEUED
    queue_interest_hours: int = DEFAULT_QUEUE_INTEREST_HOURS
    stop_inactive_minutes: int = DEFAULT_STOP_INACTIVE_MINUTES
    grant_grace_minutes: int = DEFAULT_GRANT_GRACE_MINUTES
    notifiers: str = ""
    """Options by notifier, as JSON text."""
    public_url: str = ""

    @property
    def address(self) -> str:
        """The address that a browser on this machine uses."""
        scheme = "https" if self.ssl_cert else "http"
        host = DEFAULT_HOST if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104 - a comparison
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.base_url}"

    @property
    def public_address(self) -> str:
        """The address that people use, as far as the configuration says it."""
        return f"{self.subdomain_host}{self.base_url}" if self.subdomain_host else self.address


def read_operator_config(options: RunOptions) -> OperatorConfig:
    """Load the operator's file and lay the command line over it.

    Raises
    ------
    ConfigurationError
        If the file is missing or does not load, or wants the GPUs of this machine to be given out by Kueue.
    """
    file = _file_of(options)
    config = _load(file) if file else Config()
    hub = config.get("JupyterHub", {})
    own = config.get("AIPlatform", {})
    if own.get("queue_backend") == QueueBackend.KUEUE:
        raise ConfigurationError(NO_KUEUE_HERE)
    bind = urlsplit(str(hub.get("bind_url", "")))
    base_url = str(hub.get("base_url", "")) or bind.path
    return OperatorConfig(
        file=file,
        text=file.read_text() if file else "",
        host=options.host or str(hub.get("ip", "")) or bind.hostname or DEFAULT_HOST,
        port=options.port or int(hub.get("port", 0)) or bind.port or DEFAULT_PORT,
        base_url=f"/{base_url.strip('/')}/".replace("//", "/"),
        subdomain_host=_with_scheme(str(hub.get("subdomain_host", "")).rstrip("/")),
        ssl_key=str(hub.get("ssl_key", "")),
        ssl_cert=str(hub.get("ssl_cert", "")),
        has_authenticator=_names_authenticator(hub.get("authenticator_class")),
        has_allow_rule=options.allow_all or bool(options.allow_groups) or _is_set(config, "allow"),
        has_admin=bool(options.admins) or _is_set(config, "admin_users", "admin_groups"),
        database_url=options.database_url or str(own.get("database_url", "")),
        catalog_dirs=options.catalog_dirs or tuple(Path(folder) for folder in own.get("catalog_dirs", ())),
        simulated_gpus=options.simulated_gpus if options.simulated_gpus is not None else own.get("simulated_gpus"),
        server_account=str(own.get("server_account", "nobody")),
        stop_inactive_minutes=_whole(own, "stop_inactive_minutes", DEFAULT_STOP_INACTIVE_MINUTES),
        max_queued_per_user=_whole(own, "max_queued_per_user", DEFAULT_MAX_QUEUED),
        queue_interest_hours=_whole(own, "queue_interest_hours", DEFAULT_QUEUE_INTEREST_HOURS),
        grant_grace_minutes=_whole(own, "grant_grace_minutes", DEFAULT_GRANT_GRACE_MINUTES),
        notifiers=_as_json(own.get("notifiers", {})),
        public_url=str(own.get("public_url", "")),
    )


def _whole(own: Any, name: str, default: int) -> int:
    value = own.get(name, default)
    if type(value) is not int:
        raise ConfigurationError(f"c.AIPlatform.{name} is {value!r}; it must be a whole number.")
    return value


def _as_json(notifiers: Any) -> str:
    """Return the options as text; what is no mapping is refused by name later, where every way to set them ends."""
    try:
        return json.dumps(notifiers, sort_keys=True) if notifiers else ""
    except (TypeError, ValueError):
        return "?"


def _with_scheme(host: str) -> str:
    return host if "://" in host or not host else f"https://{host}"  # as the hub completes it


def _file_of(options: RunOptions) -> Path | None:
    if options.config_file:
        if not options.config_file.is_file():
            raise ConfigurationError(f"There is no file {options.config_file}. Name an existing one with --config.")
        return options.config_file.absolute()
    usual = options.data_dir / "jupyterhub_config.py"
    return usual if usual.is_file() else None


def _load(file: Path) -> Config:
    try:
        return PyFileConfigLoader(file.name, path=str(file.parent)).load_config()
    except SyntaxError as error:
        raise ConfigurationError(f"{file}:{error.lineno}: {error.msg}. Correct it and start again.") from error
    except Exception as error:  # the file is the operator's program: it may raise anything
        line = _line_in(file, error)
        raise ConfigurationError(f"{file}{line}: {type(error).__name__}: {error}. Correct it and start again.") from error


def _line_in(file: Path, error: BaseException) -> str:
    line = ""
    frame = error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename == str(file):
            line = f":{frame.tb_lineno}"
        frame = frame.tb_next
    return line


def _names_authenticator(value: Any) -> bool:
    name = value if isinstance(value, str) else getattr(value, "__name__", "")
    return bool(name) and name.lower() not in {"pam", "default", "jupyterhub.auth.pamauthenticator", "pamauthenticator"}


def _is_set(config: Config, *prefixes: str) -> bool:
    """Whether some class's trait that begins so has a true value. The hub itself warns about unknown names."""
    for section in config.values():
        if isinstance(section, Config):
            for name, value in section.items():
                if name.startswith(prefixes) and value:
                    return True
    return False
