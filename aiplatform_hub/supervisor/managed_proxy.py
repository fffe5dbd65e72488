"""Becomes the proxy that ``aiplatform setup-proxy`` installed; the hub starts it so under plain ``jupyterhub -f``.

``python -m aiplatform_hub.supervisor.managed_proxy --ip …``
"""

from __future__ import annotations

import os
import sys

from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.supervisor.proxy_program import proxy_command

_USAGE = 2


def main() -> int:
    """Become the proxy, or say what is missing."""
    try:
        node, script = proxy_command()
    except AIPlatformError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    return os.execv(node, [node, script, *sys.argv[1:]])  # noqa: S606 - the very process that the hub watches becomes the proxy


if __name__ == "__main__":
    sys.exit(main())
