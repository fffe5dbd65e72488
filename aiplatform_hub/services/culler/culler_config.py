# ruff: noqa: F821 - the culler defines get_config and runs this by its path
"""Configuration of ``jupyterhub-idle-culler``: ``python -m jupyterhub_idle_culler --config=THIS …  -- --data-dir …``."""

from jupyterhub_idle_culler import IdleCuller

from aiplatform_hub.services.culler.arbiter import Arbiter

c = get_config()  # type: ignore[name-defined]
c.IdleCuller.cull_arbiter_hook = Arbiter(IdleCuller.instance().extra_args)
c.IdleCuller.max_age = 0  # it would stop servers whatever the hook says
