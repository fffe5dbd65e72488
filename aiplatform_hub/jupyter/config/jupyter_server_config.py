"""Loads our server extension beside whatever the environment has; JUPYTER_CONFIG_PATH points here."""

import sys
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets gives it
sys.path.append(str(Path(__file__).parent))  # of the server alone: kernels do not inherit it
c.ServerApp.jpserver_extensions = {"aiplatform_session": True}
