"""What an operator sets in ``jupyterhub_config.py``: ``c.AIPlatform…``."""

from __future__ import annotations

from pathlib import Path

from traitlets import Bool, Int, List, Unicode
from traitlets.config import Configurable

from aiplatform_hub.config import DEFAULT_DATA_DIR, DEFAULT_KEEPER_PORT, DEFAULT_PLATFORM_PORT, Settings


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
        Default: empty, which means ``aiplatform.sqlite`` in the data directory.
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

    def settings(self, base_url: str = "/") -> Settings:
        """Return the settings that the traits state, for a hub at this base URL."""
        return Settings(
            data_dir=Path(self.data_dir).absolute(),
            database_url=self.database_url,
            catalog_dirs=tuple(Path(folder).absolute() for folder in self.catalog_dirs),
            simulated_gpus=self.simulated_gpus,
            is_demo=self.demo,
            base_url=f"/{base_url.strip('/')}/".replace("//", "/"),
            platform_port=self.platform_port,
            keeper_port=self.keeper_port,
        )
