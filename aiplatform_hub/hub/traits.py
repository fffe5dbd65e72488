"""What an operator sets in ``jupyterhub_config.py``: ``c.AIPlatform…``."""

from __future__ import annotations

import json
from pathlib import Path

from traitlets import Bool, CaselessStrEnum, Dict, Int, List, Unicode
from traitlets.config import Configurable

from aiplatform_hub.config import (
    DEFAULT_DATA_DIR,
    DEFAULT_GRANT_GRACE_MINUTES,
    DEFAULT_IMAGE_PREFIX,
    DEFAULT_KEEPER_PORT,
    DEFAULT_KUEUE_QUEUE,
    DEFAULT_NODE_LOST_SECONDS,
    DEFAULT_PLATFORM_PORT,
    DEFAULT_QUEUE_INTEREST_HOURS,
    DEFAULT_STOP_INACTIVE_MINUTES,
    Place,
    QueueBackend,
    Settings,
    database_url_from_environment,
    detect_namespace,
    detect_place,
)
from aiplatform_hub.domain.queueing import DEFAULT_MAX_QUEUED


class AIPlatform(Configurable):
    """Where and how this installation runs; the catalogue says what it offers."""

    data_dir = Unicode(
        str(DEFAULT_DATA_DIR),
        help="""Folder of databases, secrets, spool, logs and built environments; no unit.
        A relative path starts at the working directory of the hub. Default: ``data``.
        Example: ``c.AIPlatform.data_dir = "/srv/aiplatform"``""",
    ).tag(config=True)

    database_url = Unicode(
        "",
        help="""SQLAlchemy address of the platform's own database; no unit.
        Default: what ``AIPLATFORM_DATABASE_URL`` in the environment says, else ``aiplatform.sqlite`` in the data directory.
        Example: ``c.AIPlatform.database_url = "postgresql+psycopg://hub@/aiplatform"``""",
    ).tag(config=True)

    catalog_dirs = List(
        Unicode(),
        help="""Catalogue folders laid over the built-in one, in order; no unit.
        Default: ``catalog`` in the data directory, if it exists.
        Example: ``c.AIPlatform.catalog_dirs = ["/etc/aiplatform/catalog"]``""",
    ).tag(config=True)

    simulated_gpus = Int(
        0,
        min=0,
        help="""Number of labelled pretend GPUs, in GPUs; nothing computes on them.
        What they are taken to do is said by ``simulated-utilisation.json`` in the data directory, if it exists.
        Default: 0, which uses the GPUs that NVML reports.
        Example: ``c.AIPlatform.simulated_gpus = 4``""",
    ).tag(config=True)

    demo = Bool(
        False,
        help="""Whether this is a trial: demo people, homes in the data directory, no isolation of users; no unit.
        Default: False.
        Example: ``c.AIPlatform.demo = True``""",
    ).tag(config=True)

    server_account = Unicode(
        "nobody",
        help="""Unprivileged Unix account under which a demo that runs as root starts servers; no unit.
        Default: ``nobody``.
        Example: ``c.AIPlatform.server_account = "aiplatform-demo"``""",
    ).tag(config=True)

    billing_viewer_groups = List(
        Unicode(),
        help="""JupyterHub groups whose members read every invoice, report and budget, and dispute lines of invoices; no unit.
        They get the role ``aiplatform-billing-viewer``, and change nothing else. Where the authenticator manages roles,
        leave it empty and let it give the scope ``custom:aiplatform:billing:dispute``.
        Default: none, so that only admins read them.
        Example: ``c.AIPlatform.billing_viewer_groups = ["finance"]``""",
    ).tag(config=True)

    platform_port = Int(
        DEFAULT_PLATFORM_PORT,
        help="""Port of the platform service on 127.0.0.1; a TCP port number.
        Default: 8090.
        Example: ``c.AIPlatform.platform_port = 18090``""",
    ).tag(config=True)

    keeper_port = Int(
        DEFAULT_KEEPER_PORT,
        help="""Port of the keeper's metrics on 127.0.0.1; a TCP port number.
        Default: 8091.
        Example: ``c.AIPlatform.keeper_port = 18091``""",
    ).tag(config=True)

    platform_url = Unicode(
        "",
        help="""Where hub and proxy find the platform service; an HTTP address without a path.
        Default: its port of this machine; in a cluster ``http://aiplatform-platform:8090``.
        Example: ``c.AIPlatform.platform_url = "http://platform.jhub.svc:8090"``""",
    ).tag(config=True)

    place = CaselessStrEnum(
        ["", *(place.value for place in Place)],
        default_value="",
        help="""Where people's servers run: ``machine``, as processes beside the hub, or ``cluster``, as pods; no unit.
        Default: empty, which means cluster where the hub itself runs in a pod with a service account, else machine.
        Example: ``c.AIPlatform.place = "cluster"``""",
    ).tag(config=True)

    namespace = Unicode(
        "",
        help="""In a cluster: namespace of people's pods; with a namespace for each person, the hub's; no unit.
        Default: what ``c.KubeSpawner.namespace`` says, else the hub's own namespace.
        Example: ``c.AIPlatform.namespace = "jhub"``""",
    ).tag(config=True)

    namespace_per_user = Bool(
        False,
        help="""In a cluster: whether each person has a namespace of their own, with quota and network rules; no unit.
        Default: False. The hub then needs rights on namespaces.
        Example: ``c.AIPlatform.namespace_per_user = True``""",
    ).tag(config=True)

    node_lost_seconds = Int(
        DEFAULT_NODE_LOST_SECONDS,
        min=1,
        help="""In a cluster: how long a node may be silent before its sessions count as ended, in seconds.
        Default: 300, as long as Kubernetes itself waits.
        Example: ``c.AIPlatform.node_lost_seconds = 120``""",
    ).tag(config=True)

    max_queued_per_user = Int(
        DEFAULT_MAX_QUEUED,
        min=1,
        help="""How many requests one person may have in the queue; unit: requests.
        Default: 10.
        Example: ``c.AIPlatform.max_queued_per_user = 5``""",
    ).tag(config=True)

    queue_interest_hours = Int(
        DEFAULT_QUEUE_INTEREST_HOURS,
        min=1,
        help="""How long a queued request waits for its owner to confirm that they still want it, in hours; then it leaves the queue.
        Default: 24.
        Example: ``c.AIPlatform.queue_interest_hours = 72``""",
    ).tag(config=True)

    stop_inactive_minutes = Int(
        DEFAULT_STOP_INACTIVE_MINUTES,
        min=0,
        help="""How long nobody may use a server without GPUs before ``jupyterhub-idle-culler`` stops it, in minutes; 0 never stops one.
        A kernel that computes counts as use. The policy's ``project_inactive_after``, ``tier_inactive_after`` and ``environment_template_inactive_after``
        come first; sessions with GPUs are its matter too. In a cluster ``cull.timeout`` says it.
        Default: 240.
        Example: ``c.AIPlatform.stop_inactive_minutes = 60``""",
    ).tag(config=True)

    grant_grace_minutes = Int(
        DEFAULT_GRANT_GRACE_MINUTES,
        min=0,
        help="""How long the owner of a request whose turn has come may take to open it, in minutes; then its GPUs go to others, and it is queued again once.
        Default: 15. 0 leaves it running.
        Example: ``c.AIPlatform.grant_grace_minutes = 30``""",
    ).tag(config=True)

    notifiers = Dict(
        value_trait=Dict(key_trait=Unicode()),
        key_trait=Unicode(),
        help="""Ways to reach people beside the pages: options by notifier; no unit. ``email`` and ``webhook`` are built in, packages bring others.
        Secrets come from ``AIPLATFORM_NOTIFIER_EMAIL_SECRET`` and the like in the environment, or from the file that ``secret_file`` names.
        Default: none, so notices are shown on pages alone.
        Example: ``c.AIPlatform.notifiers = {"email": {"host": "smtp.example.org", "from": "hub@example.org"}}``""",
    ).tag(config=True)

    public_url = Unicode(
        "",
        help="""Where people find the hub, for links in mails and webhooks; an HTTP address without a path.
        Default: empty, which leaves the links out.
        Example: ``c.AIPlatform.public_url = "https://gpu.example.org"``""",
    ).tag(config=True)

    queue_backend = CaselessStrEnum(
        [backend.value for backend in QueueBackend],
        default_value=QueueBackend.BUILT_IN.value,
        help="""Who gives out the GPUs to those who wait: ``built-in``, the platform's own planner, or, in a cluster that has it, ``kueue``; no unit.
        Default: ``built-in``.
        Example: ``c.AIPlatform.queue_backend = "kueue"``""",
    ).tag(config=True)

    kueue_queue = Unicode(
        DEFAULT_KUEUE_QUEUE,
        help="""With Kueue: name of the LocalQueue of a project, in the namespace of people's pods; ``{project}`` stands for the project's name; no unit.
        Default: ``{project}``. A name without it is the queue of all projects.
        Example: ``c.AIPlatform.kueue_queue = "hub-{project}"``""",
    ).tag(config=True)

    kueue_priority = Int(
        0,
        min=-1_000_000_000,
        max=1_000_000_000,
        help="""With Kueue: the priority below those of all sessions; they have up to a million and one more, by fair share; unit: Kueue's priorities.
        Default: 0.
        Example: ``c.AIPlatform.kueue_priority = -2_000_000``, for sessions that give way to jobs of priority 0""",
    ).tag(config=True)

    image_prefix = Unicode(
        DEFAULT_IMAGE_PREFIX,
        help="""In a cluster: registry and folder of the environments' images, with a slash at its end; no unit.
        Default: ``aiplatform-hub/``.
        Example: ``c.AIPlatform.image_prefix = "registry.example.org/aiplatform/"``""",
    ).tag(config=True)

    allowed_images = List(
        Unicode(),
        help="""In a cluster: patterns of the images that sessions may run, ``*`` for any text; no unit.
        Default: empty, which allows what the catalogue names.
        Example: ``c.AIPlatform.allowed_images = ["registry.example.org/aiplatform/*"]``""",
    ).tag(config=True)

    read_only_root = Bool(
        False,
        help="""In a cluster: whether sessions cannot write outside their home, ``/tmp`` and mounted volumes; no unit.
        Default: False.
        Example: ``c.AIPlatform.read_only_root = True``""",
    ).tag(config=True)

    whole_cpus_from_gpus = Int(
        0,
        min=0,
        help="""In a cluster: from how many GPUs on a session has its CPU cores for itself, so that the kubelet can put them beside its GPUs; unit: GPUs.
        Default: 0, never: a session has an eighth of its cores for itself, and more of them fit on a node.
        Example: ``c.AIPlatform.whole_cpus_from_gpus = 2``""",
    ).tag(config=True)

    def settings(self, base_url: str = "/") -> Settings:
        """Return the settings that the traits state, for a hub at this base URL."""
        return Settings(
            data_dir=Path(self.data_dir).absolute(),
            database_url=self.database_url or database_url_from_environment(),
            catalog_dirs=tuple(Path(folder).absolute() for folder in self.catalog_dirs),
            simulated_gpus=self.simulated_gpus,
            is_demo=self.demo,
            base_url=f"/{base_url.strip('/')}/".replace("//", "/"),
            platform_port=self.platform_port,
            keeper_port=self.keeper_port,
            place=Place(self.place) if self.place else detect_place(),
            namespace=self.namespace or detect_namespace(),
            is_namespace_per_user=self.namespace_per_user,
            node_lost_seconds=self.node_lost_seconds,
            image_prefix=self.image_prefix,
            max_queued_per_user=self.max_queued_per_user,
            queue_interest_hours=self.queue_interest_hours,
            stop_inactive_minutes=self.stop_inactive_minutes,
            grant_grace_minutes=self.grant_grace_minutes,
            notifiers=json.dumps(self.notifiers, sort_keys=True) if self.notifiers else "",
            public_url=self.public_url,
            queue_backend=QueueBackend(self.queue_backend),
            kueue_queue=self.kueue_queue,
            kueue_priority=self.kueue_priority,
            platform_url=self.platform_url,
        )
