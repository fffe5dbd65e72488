"""The hub's configuration file that ``aiplatform run`` writes at each start."""

from __future__ import annotations

from pathlib import Path

from aiplatform_hub.config import Settings
from aiplatform_hub.supervisor.data_directory import Ports
from aiplatform_hub.supervisor.demo_people import PEOPLE, members_by_group
from aiplatform_hub.supervisor.operator_config import OperatorConfig
from aiplatform_hub.supervisor.options import RunOptions

OPERATOR_SERVICE = "aiplatform-operator"
"""The hub service in whose name ``aiplatform token`` acts; no process runs for it."""

_HEAD = '''"""Written by `aiplatform run` at each start: changes made here are lost. Your own settings belong in {own_file}."""

import os
from pathlib import Path, PosixPath

from aiplatform_hub.config import Place, QueueBackend, Settings, secrets_from_environment
from aiplatform_hub.install import install

c = get_config()
'''

_PLACE = """
# Where hub and proxy listen is decided by `aiplatform run`, which starts both.
for name in ("ip", "port", "base_url"):
    c.JupyterHub.pop(name, None)
c.JupyterHub.bind_url = {bind_url!r}
c.JupyterHub.hub_bind_url = {hub_bind_url!r}
c.JupyterHub.cleanup_servers = False
c.JupyterHub.upgrade_db = True
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
if "db_url" not in c.JupyterHub:
    c.JupyterHub.db_url = {db_url!r}
if "cookie_secret_file" not in c.JupyterHub:
    c.JupyterHub.cookie_secret_file = {cookie_secret_file!r}

# What the command line says wins over the file above; install() keeps what is set.
for name in ("data_dir", "database_url", "catalog_dirs", "simulated_gpus", "demo", "platform_port", "keeper_port"):
    c.AIPlatform.pop(name, None)
install(c, {settings!r}, secrets_from_environment())

# For `aiplatform token`, run by whoever may read the data directory's secrets: only an admin may make admins. No service uses this token.
c.JupyterHub.services.append({{"name": {operator!r}, "api_token": os.environ["AIPLATFORM_OPERATOR_TOKEN"], "admin": True, "display": False}})
"""

_DEMO = """
c.JupyterHub.authenticator_class = "aiplatform_hub.hub.demo_auth.DemoAuthenticator"
c.DemoAuthenticator.passwords_file = {passwords_file!r}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {admins!r}
c.JupyterHub.load_groups = {groups!r}
"""


def demo_passwords_file(settings: Settings) -> Path:
    """Return where the hashes of the demo people's passwords are kept."""
    return settings.secrets_dir / "demo-passwords.json"


def hub_config_text(*, options: RunOptions, operator: OperatorConfig, settings: Settings, ports: Ports) -> str:
    """Return the file's text. It holds no secret."""
    host = f"[{operator.host}]" if ":" in operator.host else operator.host
    scheme = "https" if operator.ssl_cert else "http"
    parts = [_HEAD.format(own_file=options.data_dir / "jupyterhub_config.py")]
    if operator.file:
        parts.append(f"load_subconfig({str(operator.file)!r})\n")
    parts.append(
        _PLACE.format(
            bind_url=f"{scheme}://{host}:{operator.port}{operator.base_url}",
            hub_bind_url=f"http://127.0.0.1:{ports.hub}",
            proxy_api_url=f"http://127.0.0.1:{ports.proxy_api}",
            db_url=f"sqlite:///{settings.data_dir / 'jupyterhub.sqlite'}",
            cookie_secret_file=str(settings.secrets_dir / "cookie-secret"),
            settings=settings,
            operator=OPERATOR_SERVICE,
        ),
    )
    if options.is_demo:
        admins = {person.name for person in PEOPLE if person.is_admin}
        parts.append(_DEMO.format(passwords_file=str(demo_passwords_file(settings)), admins=admins, groups=members_by_group()))
    parts.append(_rules(options))
    return "".join(parts)


def _rules(options: RunOptions) -> str:
    lines = []
    if options.allow_all:
        lines.append("c.Authenticator.allow_all = True")
    if options.allow_groups:
        lines.append(f"c.LocalAuthenticator.allowed_groups = {set(options.allow_groups)!r}")
    if options.admins:
        lines.append(f"c.Authenticator.admin_users = {set(options.admins)!r} | set(c.Authenticator.get('admin_users', ()))")
    return "".join(f"{line}\n" for line in lines)
