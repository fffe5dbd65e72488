"""A PostgreSQL image that stands in for the official one, which only a registry has: same user, same variables, same data folder."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster.machinery.archives import Image, add_bytes, write_archive
from tests.cluster.machinery.images import cached, in_root, lend_network, scratch, tar

POSTGRESQL_IMAGE = "localhost/aiplatform-postgresql:test"
VERSION = 15
"""Debian bookworm's."""
USER_ID = "999"
"""As in the official image."""
ENTRYPOINT = f"""#!/bin/sh
set -eu
export PATH=/usr/lib/postgresql/{VERSION}/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --pgdata="$PGDATA" --wait --options="-c listen_addresses= -c unix_socket_directories=/var/run/postgresql" start
    createdb --host=/var/run/postgresql --username="$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --pgdata="$PGDATA" --wait stop
fi
exec postgres -D "$PGDATA" -c 'listen_addresses=*' -c unix_socket_directories=/var/run/postgresql -c jit=off
"""
SETTINGS = {
    "Entrypoint": ["/usr/local/bin/entrypoint"],
    "Env": [f"PATH=/usr/lib/postgresql/{VERSION}/bin:/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
    "User": f"{USER_ID}:{USER_ID}",
}


def postgresql_archive(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Return the image's archive, made from the cached base layer and Debian's packages if it is not in the cache folder yet."""
    base = next(folder.glob("base-*.layer"))
    layer = cached(folder, "postgresql", "layer", (base.name, str(VERSION)), lambda target: _make_layer(base, target, say))
    start = cached(folder, "postgresql-start", "layer", (ENTRYPOINT,), _make_start)
    image = Image(POSTGRESQL_IMAGE, [base, layer, start], SETTINGS)
    return cached(folder, "aiplatform-postgresql", "tar", (base.name, layer.name, start.name, repr(SETTINGS)), lambda target: write_archive(image, target))


def _make_layer(base: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"Making {POSTGRESQL_IMAGE}: PostgreSQL {VERSION} of Debian")
    with scratch(target.parent) as root:
        in_base = root / "root-file-system"
        in_base.mkdir()
        subprocess.run(["tar", "-C", in_base, "--numeric-owner", "-xf", base], check=True, timeout=300)
        lend_network(in_base)
        in_root(in_base, "groupadd", "--gid", USER_ID, "postgres")
        in_root(in_base, "useradd", "--uid", USER_ID, "--gid", USER_ID, "--home-dir", "/var/lib/postgresql", "postgres")
        in_root(in_base, "apt-get", "update", "-qq")
        in_root(in_base, "apt-get", "install", "-qq", "--yes", "--no-install-recommends", f"postgresql-{VERSION}")
        for library in in_base.glob("usr/lib/**/libLLVM*"):
            library.unlink()
        tar(in_base, ["etc", "usr/lib", "usr/share", "var/lib/dpkg"], target)


def _make_start(target: Path) -> None:
    with tarfile.open(target, "w") as archive:
        add_bytes(archive, "usr/local/bin/entrypoint", ENTRYPOINT.encode(), 0o755)
