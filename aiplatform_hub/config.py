"""Settings: read once at the edge, passed down as one value."""

from __future__ import annotations

import json
import os
import re
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiplatform_hub.domain.queueing import DEFAULT_MAX_QUEUED
from aiplatform_hub.errors import ConfigurationError

DEFAULT_DATA_DIR = Path("data")
"""Where ``make run`` keeps everything, relative to the working directory."""

DEFAULT_HUB_API_URL = "http://127.0.0.1:8081/hub/api"
"""Where JupyterHub's API listens unless configured otherwise."""
DEFAULT_PLATFORM_PORT = 8090
"""Port of the platform service."""
DEFAULT_KEEPER_PORT = 8091
"""Port of the keeper's ``/metrics``."""


class Place(StrEnum):
    """Where people's servers run."""

    MACHINE = "machine"
    """As processes of this machine."""
    CLUSTER = "cluster"
    """As pods of a Kubernetes cluster."""

    def __repr__(self) -> str:
        """As Python reads it: the hub's generated configuration file holds settings."""
        return f"Place.{self.name}"


class QueueBackend(StrEnum):
    """Who gives out a place's GPUs to those who wait."""

    BUILT_IN = "built-in"
    """Our own planner."""
    KUEUE = "kueue"
    """Kueue, in a cluster that has it."""

    def __repr__(self) -> str:
        """As Python reads it: the hub's generated configuration file holds settings."""
        return f"QueueBackend.{self.name}"


SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its cluster's certificate and its namespace."""
DEFAULT_NAMESPACE = "default"
DEFAULT_NODE_LOST_SECONDS = 300
DEFAULT_QUEUE_INTEREST_HOURS = 24
DEFAULT_STOP_INACTIVE_MINUTES = 240
DEFAULT_GRANT_GRACE_MINUTES = 15
PAGE_NOTIFIER = "page"
"""What is always there."""
DEFAULT_KUEUE_QUEUE = "{project}"
DEFAULT_IMAGE_PREFIX = "aiplatform-hub/"
DEFAULT_CLUSTER_PLATFORM_URL = f"http://aiplatform-platform:{DEFAULT_PLATFORM_PORT}"
"""Where a cluster's hub and proxy find the platform service: the Service of that name in the hub's namespace."""
LOOPBACK = "127.0.0.1"
NO_KUEUE_HERE = (
    "queue_backend is kueue, but people's servers run on this machine: Kueue gives out the GPUs of a cluster. "
    'Set c.AIPlatform.queue_backend to "built-in", or place to "cluster".'
)


def detect_place(service_account_dir: Path = SERVICE_ACCOUNT_DIR) -> Place:
    """Return where people's servers run if nobody says: beside a pod that has a service account, as pods."""
    return Place.CLUSTER if (service_account_dir / "token").is_file() else Place.MACHINE


def detect_namespace(service_account_dir: Path = SERVICE_ACCOUNT_DIR) -> str:
    """Return the namespace of the pod that asks; ``default`` outside a pod."""
    try:
        return (service_account_dir / "namespace").read_text().strip() or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how this installation runs. What it offers is the catalogue's matter."""

    data_dir: Path
    """Absolute. Holds databases, secrets, spool, logs, built environments and demo homes."""
    database_url: str = ""
    """SQLAlchemy address; empty means ``aiplatform.sqlite`` in the data directory."""
    catalog_dirs: tuple[Path, ...] = ()
    """Operator's catalogue folders, laid over the built-in one in order; empty means ``catalog/`` in the data directory if it exists."""
    simulated_gpus: int = 0
    """Number of labelled pretend GPUs; 0 uses what NVML reports."""
    is_demo: bool = False
    hub_api_url: str = DEFAULT_HUB_API_URL
    base_url: str = "/"
    """The hub's base URL, with slashes at both ends."""
    platform_port: int = DEFAULT_PLATFORM_PORT
    keeper_port: int = DEFAULT_KEEPER_PORT
    """Port of the keeper's ``/metrics``."""
    place: Place = Place.MACHINE
    namespace: str = DEFAULT_NAMESPACE
    """Kubernetes namespace of people's pods; with a namespace for each person, the one of the hub."""
    is_namespace_per_user: bool = False
    node_lost_seconds: int = DEFAULT_NODE_LOST_SECONDS
    """How long a node may be silent before its sessions count as ended, in seconds; Kubernetes' own patience is 300."""
    image_prefix: str = DEFAULT_IMAGE_PREFIX
    """Registry and folder of the environments' container images, with a slash at its end."""
    service_host: str = LOOPBACK
    """Address on which platform and keeper listen; ``0.0.0.0`` in a pod."""
    max_queued_per_user: int = DEFAULT_MAX_QUEUED
    """How many requests one person may have in the queue."""
    queue_interest_hours: int = DEFAULT_QUEUE_INTEREST_HOURS
    """How long a queued request waits for its owner to confirm that they still want it, in hours."""
    stop_inactive_minutes: int = DEFAULT_STOP_INACTIVE_MINUTES
    """How long nobody may use a server without GPUs before it is stopped, in minutes; 0 is for ever."""
    grant_grace_minutes: int = DEFAULT_GRANT_GRACE_MINUTES
    """How long the owner of a request whose turn has come may take to open it before its GPUs go to others, in minutes; 0 is for ever."""
    notifiers: str = ""
    """Options by notifier, as JSON text; empty means that notices are shown on pages alone."""
    public_url: str = ""
    """Where people find the hub, for links in mails and webhooks; empty leaves the links out."""
    queue_backend: QueueBackend = QueueBackend.BUILT_IN
    """Who gives out the GPUs."""
    kueue_queue: str = DEFAULT_KUEUE_QUEUE
    """With Kueue: name of a project's LocalQueue; ``{project}`` stands for the project's name."""
    kueue_priority: int = 0
    """With Kueue: the priority below those of all our Workloads."""
    platform_url: str = ""
    """Where hub and proxy find the platform service; empty means its port of this machine, or in a cluster its Kubernetes Service."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        ConfigurationError
            If Kueue should give out the GPUs of a single machine.
        """
        if self.is_kueue and self.place is Place.MACHINE:
            raise ConfigurationError(NO_KUEUE_HERE)

    @property
    def is_kueue(self) -> bool:
        """Whether Kueue gives out the GPUs."""
        return self.queue_backend is QueueBackend.KUEUE

    @property
    def resolved_database_url(self) -> str:
        """The database address with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'aiplatform.sqlite'}"

    @property
    def resolved_platform_url(self) -> str:
        """Where hub and proxy find the platform service, with the default filled in."""
        usual = DEFAULT_CLUSTER_PLATFORM_URL if self.place is Place.CLUSTER else f"http://{LOOPBACK}:{self.platform_port}"
        return self.platform_url or usual

    @property
    def resolved_catalog_dirs(self) -> tuple[Path, ...]:
        """The overlay folders with the default filled in."""
        if self.catalog_dirs:
            return self.catalog_dirs
        own = self.data_dir / "catalog"
        return (own,) if own.is_dir() else ()

    @property
    def notifier_options(self) -> dict[str, dict[str, Any]]:
        """Every notifier with its options, the pages first.

        Raises
        ------
        ConfigurationError
            If the text is not a mapping from names to options.
        """
        return {PAGE_NOTIFIER: {}, **notifier_options_in(self.notifiers)}

    @property
    def spool_dir(self) -> Path:
        """One folder per allocation, written by the session runner."""
        return self.data_dir / "spool"

    @property
    def secrets_dir(self) -> Path:
        """Tokens and keys, one file each, mode 0600 in a folder of mode 0700."""
        return self.data_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        """Logs of the processes; ``sessions/<allocation id>.log`` for servers."""
        return self.data_dir / "logs"

    @property
    def environments_dir(self) -> Path:
        """Environments that ``aiplatform environments build`` made, one folder per image."""
        return self.data_dir / "environments"

    @property
    def homes_dir(self) -> Path:
        """Home folders of demo users."""
        return self.data_dir / "homes"

    @property
    def run_dir(self) -> Path:
        """The supervisor's lock, process records and generated hub configuration."""
        return self.data_dir / "run"

    @property
    def isolates_users(self) -> bool:
        """Whether each person's servers are apart from others': in pods, or as root and not in a trial under accounts of their own."""
        return self.place is Place.CLUSTER or (os.geteuid() == 0 and not self.is_demo)

    @property
    def ledger_head_file(self) -> Path:
        """Head hash and count of the ledger, kept outside the database."""
        return self.data_dir / "ledger-head.json"

    @property
    def api_prefix(self) -> str:
        """Path of the platform service, with slashes at both ends."""
        return f"{self.base_url}services/platform/"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Tokens handed over by the supervisor in the environment; empty where the hub makes its own."""

    platform_token: str = field(default="", repr=False)
    keeper_token: str = field(default="", repr=False)
    culler_token: str = field(default="", repr=False)
    supervisor_token: str = field(default="", repr=False)
    proxy_token: str = field(default="", repr=False)


def secrets_from_environment() -> Secrets:
    """Read the tokens from ``AIPLATFORM_*_TOKEN`` and ``CONFIGPROXY_AUTH_TOKEN``."""
    return Secrets(
        platform_token=os.environ.get("AIPLATFORM_PLATFORM_TOKEN", ""),
        keeper_token=os.environ.get("AIPLATFORM_KEEPER_TOKEN", ""),
        culler_token=os.environ.get("AIPLATFORM_CULLER_TOKEN", ""),
        supervisor_token=os.environ.get("AIPLATFORM_SUPERVISOR_TOKEN", ""),
        proxy_token=os.environ.get("CONFIGPROXY_AUTH_TOKEN", ""),
    )


def service_token_from_environment() -> str:
    """Read a service's own token, as the hub hands it to a managed service; empty if there is none."""
    return os.environ.get("JUPYTERHUB_API_TOKEN", "")


def notifier_options_in(text: str) -> dict[str, dict[str, Any]]:
    """Return the options by notifier that a JSON text holds.

    Raises
    ------
    ConfigurationError
        If it is no such mapping.
    """
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict) or not all(isinstance(each, dict) for each in options.values()):
        raise ConfigurationError(
            'c.AIPlatform.notifiers must map each notifier\'s name to its options, for example {"email": {"host": "smtp.example.org", "from": "hub@example.org"}}.'
        )
    return options


def notifier_secret_name(notifier: str) -> str:
    """Return the environment variable that holds a notifier's secret."""
    return f"AIPLATFORM_NOTIFIER_{re.sub('[^A-Z0-9]', '_', notifier.upper())}_SECRET"


def notifier_secret(notifier: str, secret_file: str) -> str:
    """Read a notifier's secret: from its environment variable, else from the file that its options name; empty if neither is there.

    Raises
    ------
    ConfigurationError
        If the file cannot be read.
    """
    if secret := os.environ.get(notifier_secret_name(notifier), ""):
        return secret
    try:
        return Path(secret_file).read_text().strip() if secret_file else ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"c.AIPlatform.notifiers[{notifier!r}]['secret_file'] cannot be read: {error}.") from error


def notifier_secrets_from_environment() -> dict[str, str]:
    """Return the environment variables that hold secrets of notifiers and accountings, for a service that the hub starts."""
    kinds = ("AIPLATFORM_NOTIFIER_", "AIPLATFORM_ACCOUNTING_")
    return {name: value for name, value in os.environ.items() if name.startswith(kinds) and name.endswith("_SECRET")}


def accounting_secret(legal_entity: str, secrets_dir: Path) -> str:
    """Read what messages to the accounting of a legal entity are signed with: from its environment variable, else its file; empty if neither is there.

    Raises
    ------
    ConfigurationError
        If the file is there and cannot be read.
    """
    name = f"AIPLATFORM_ACCOUNTING_{re.sub('[^A-Z0-9]', '_', legal_entity.upper())}_SECRET"
    file = secrets_dir / f"accounting-{legal_entity}"
    try:
        return os.environ.get(name, "") or (file.read_text().strip() if file.is_file() else "")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The secret of the accounting of {legal_entity} cannot be read: {error}.") from error


def database_url_from_environment() -> str:
    """Read ``AIPLATFORM_DATABASE_URL``: an address with a password in it is a secret; empty if there is none."""
    return os.environ.get("AIPLATFORM_DATABASE_URL", "")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the settings' options to a service's command line."""
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, help="folder of databases, secrets, spool and logs")
    parser.add_argument("--database-url", default="", help="SQLAlchemy address; default: AIPLATFORM_DATABASE_URL, else aiplatform.sqlite in the data directory")
    parser.add_argument("--catalog-dir", type=Path, action="append", default=[], help="catalogue folder laid over the built-in one; may be given several times")
    parser.add_argument("--simulated-gpus", type=int, default=0, metavar="N", help="number of labelled pretend GPUs; 0 uses what the machine has")
    parser.add_argument("--demo", action="store_true", help="this is a trial installation")
    parser.add_argument("--hub-api-url", default=os.environ.get("JUPYTERHUB_API_URL", ""), help="address of the hub's API; default: JUPYTERHUB_API_URL")
    parser.add_argument("--base-url", default=os.environ.get("JUPYTERHUB_BASE_URL", "/"), help="the hub's base URL; default: JUPYTERHUB_BASE_URL")
    parser.add_argument("--platform-port", type=int, default=DEFAULT_PLATFORM_PORT, help="port of the platform service")
    parser.add_argument("--keeper-port", type=int, default=DEFAULT_KEEPER_PORT, help="port of the keeper's metrics")
    parser.add_argument("--service-host", default=LOOPBACK, help=f"address to listen on; default: {LOOPBACK}")
    parser.add_argument(
        "--max-queued-per-user",
        type=int,
        default=DEFAULT_MAX_QUEUED,
        metavar="N",
        help=f"queued requests that one person may have; default: {DEFAULT_MAX_QUEUED}",
    )
    parser.add_argument(
        "--queue-interest-hours",
        type=int,
        default=DEFAULT_QUEUE_INTEREST_HOURS,
        metavar="N",
        help=f"time after which a queued request expires unless its owner confirms it, in hours; default: {DEFAULT_QUEUE_INTEREST_HOURS}",
    )
    parser.add_argument(
        "--stop-inactive-minutes",
        type=int,
        default=DEFAULT_STOP_INACTIVE_MINUTES,
        metavar="N",
        help=f"time after which a server without GPUs that nobody uses is stopped, in minutes; 0 is never; default: {DEFAULT_STOP_INACTIVE_MINUTES}",
    )
    _add_notice_arguments(parser)
    _add_cluster_arguments(parser)


def _add_notice_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--grant-grace-minutes",
        type=int,
        default=DEFAULT_GRANT_GRACE_MINUTES,
        metavar="N",
        help=f"time in which a request whose turn has come has to be opened, in minutes, 0 for ever; default: {DEFAULT_GRANT_GRACE_MINUTES}",
    )
    parser.add_argument(
        "--notifiers", default="", metavar="JSON", help="options by notifier, beside the pages; secrets come from the environment or from files"
    )
    parser.add_argument("--public-url", default="", metavar="URL", help="where people find the hub, for links in mails and webhooks")


def _add_cluster_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--place", choices=[place.value for place in Place], help="where people's servers run; default: a cluster in a pod of one, else this machine"
    )
    parser.add_argument("--namespace", default="", help="Kubernetes namespace of people's pods; default: this pod's own")
    parser.add_argument("--namespace-per-user", action="store_true", help="each person's pods have a namespace of their own")
    parser.add_argument(
        "--node-lost-seconds",
        type=int,
        default=DEFAULT_NODE_LOST_SECONDS,
        metavar="N",
        help=f"silence of a node after which its sessions count as ended, in seconds; default: {DEFAULT_NODE_LOST_SECONDS}",
    )
    parser.add_argument(
        "--image-prefix", default=DEFAULT_IMAGE_PREFIX, help=f"registry and folder of the environments' images; default: {DEFAULT_IMAGE_PREFIX}"
    )
    parser.add_argument(
        "--queue-backend",
        choices=[backend.value for backend in QueueBackend],
        default=QueueBackend.BUILT_IN.value,
        help="who gives out a cluster's GPUs to those who wait; default: built-in",
    )
    parser.add_argument("--kueue-queue", default=DEFAULT_KUEUE_QUEUE, help="name of a project's LocalQueue; default: the project's")
    parser.add_argument("--kueue-priority", type=int, default=0, metavar="N", help="priority below those of all our Workloads; default: 0")


def settings_from(arguments: Namespace) -> Settings:
    """Return the settings that parsed options state."""
    return Settings(
        data_dir=arguments.data_dir.absolute(),
        database_url=arguments.database_url or database_url_from_environment(),
        catalog_dirs=tuple(folder.absolute() for folder in arguments.catalog_dir),
        simulated_gpus=arguments.simulated_gpus,
        is_demo=arguments.demo,
        hub_api_url=(arguments.hub_api_url or DEFAULT_HUB_API_URL).rstrip("/"),
        base_url=f"/{arguments.base_url.strip('/')}/".replace("//", "/"),
        platform_port=arguments.platform_port,
        keeper_port=arguments.keeper_port,
        place=Place(arguments.place) if arguments.place else detect_place(),
        namespace=arguments.namespace or detect_namespace(),
        is_namespace_per_user=arguments.namespace_per_user,
        node_lost_seconds=arguments.node_lost_seconds,
        image_prefix=arguments.image_prefix,
        queue_backend=QueueBackend(arguments.queue_backend),
        kueue_queue=arguments.kueue_queue,
        kueue_priority=arguments.kueue_priority,
        service_host=arguments.service_host,
        max_queued_per_user=arguments.max_queued_per_user,
        queue_interest_hours=arguments.queue_interest_hours,
        stop_inactive_minutes=arguments.stop_inactive_minutes,
        grant_grace_minutes=arguments.grant_grace_minutes,
        notifiers=arguments.notifiers,
        public_url=arguments.public_url,
    )


def arguments_of(settings: Settings) -> list[str]:
    """Return the options that give these settings again, but for what the environment says."""
    arguments = ["--data-dir", str(settings.data_dir), "--place", settings.place.value]
    if settings.database_url and settings.database_url != database_url_from_environment():
        arguments += ["--database-url", settings.database_url]
    for folder in settings.catalog_dirs:
        arguments += ["--catalog-dir", str(folder)]
    if settings.is_demo:
        arguments.append("--demo")
    return [
        *arguments,
        *("--simulated-gpus", str(settings.simulated_gpus)),
        *("--hub-api-url", settings.hub_api_url),
        *("--base-url", settings.base_url),
        *("--platform-port", str(settings.platform_port)),
        *("--keeper-port", str(settings.keeper_port)),
        *("--service-host", settings.service_host),
        *("--max-queued-per-user", str(settings.max_queued_per_user)),
        *("--queue-interest-hours", str(settings.queue_interest_hours)),
        *("--stop-inactive-minutes", str(settings.stop_inactive_minutes)),
        *("--grant-grace-minutes", str(settings.grant_grace_minutes)),
        *(("--notifiers", settings.notifiers) if settings.notifiers else ()),
        *(("--public-url", settings.public_url) if settings.public_url else ()),
        *(_cluster_arguments(settings) if settings.place is Place.CLUSTER else ()),
    ]


def _cluster_arguments(settings: Settings) -> list[str]:
    return [
        *("--namespace", settings.namespace),
        *(("--namespace-per-user",) if settings.is_namespace_per_user else ()),
        *("--node-lost-seconds", str(settings.node_lost_seconds)),
        *("--image-prefix", settings.image_prefix),
        *("--queue-backend", settings.queue_backend.value),
        *("--kueue-queue", settings.kueue_queue),
        *("--kueue-priority", str(settings.kueue_priority)),
    ]
