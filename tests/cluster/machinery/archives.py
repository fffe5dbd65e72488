"""Container images as plain files: an archive that `ctr images import` reads, written without any registry."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """What one image is: its name, its layers as uncompressed tars, and how it starts."""

    name: str
    layers: Sequence[Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The `config` part of the image's own format: Entrypoint, Cmd, Env, User, WorkingDir."""


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(image: Image, target: Path) -> None:
    """Write the image in Docker's archive format."""
    digests = [digest(layer) for layer in image.layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": dict(image.settings),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one}" for one in digests]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "tests/cluster"} for _ in digests],
    }
    text = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [image.name], "Layers": [f"{one}/layer.tar" for one in digests]}]
    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        add_bytes(archive, config_name, text)
        for one, layer in zip(digests, image.layers, strict=True):
            archive.add(layer, f"{one}/layer.tar")
        add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
    partial.rename(target)


def add_bytes(archive: tarfile.TarFile, name: str, text: bytes, mode: int = 0o644) -> None:
    """Add a file that is in memory."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), mode
    archive.addfile(entry, io.BytesIO(text))
