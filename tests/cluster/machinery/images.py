"""The images of the tests, made from Debian packages and locked Python packages without a registry, and kept between runs."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.machinery.archives import Image, add_bytes, write_archive
from tests.cluster.machinery.configuration import PAUSE_IMAGE
from tests.cluster.machinery.layout import REPOSITORY

BASE_IMAGE = "localhost/aiplatform-base:test"
SINGLEUSER_IMAGE = "localhost/aiplatform-singleuser:test"
TRIVIAL_IMAGE = "localhost/aiplatform-trivial:test"
TRIVIAL_SERVER = REPOSITORY / "tests" / "support" / "trivial_server.py"
IMAGES = (BASE_IMAGE, SINGLEUSER_IMAGE, TRIVIAL_IMAGE)
SUITE = "bookworm"
DEBIAN = "http://deb.debian.org/debian"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
UNUSED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
PYTHON_PACKAGES = ("jupyterhub", "jupyterlab")
PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def build_images(pause: Path, folder: Path, say: Callable[[str], None] = print) -> dict[str, Path]:
    """Build what is not in the cache folder yet and return the archive of each image by the image's name.

    Parameters
    ----------
    pause
        The static program of the pause image.
    folder
        The cache: archives and layers, named after all that went into them.
    say
        Told before each step that takes long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base_layer = cached(folder, "base", "layer", _base_inputs(), lambda path: _make_base_layer(path, say))
    user_layer = cached(folder, "singleuser", "layer", (*_base_inputs(), *_pins()), lambda path: _make_user_layer(base_layer, path, say))
    pause_layer = file_layer(folder, "pause", pause, "pause")
    trivial_layer = file_layer(folder, "trivial", TRIVIAL_SERVER, "opt/trivial_server.py")
    images = (
        Image(PAUSE_IMAGE, [pause_layer], {"Entrypoint": ["/pause"], "User": "65535:65535"}),
        Image(BASE_IMAGE, [base_layer], {"Cmd": ["/bin/bash"], "Env": [f"PATH={PATH}", "LANG=C.UTF-8"]}),
        Image(SINGLEUSER_IMAGE, [base_layer, user_layer], SINGLEUSER),
        Image(TRIVIAL_IMAGE, [base_layer, trivial_layer], {"Cmd": ["/usr/bin/python3", "/opt/trivial_server.py"], "User": "1000:1000"}),
    )
    return {image.name: archive_of(image, folder) for image in images}


SINGLEUSER = {
    "Cmd": ["jupyterhub-singleuser"],
    "Env": [f"PATH={PATH}", "LANG=C.UTF-8", "HOME=/home/jovyan"],
    "User": "1000:1000",
    "WorkingDir": "/home/jovyan",
    "ExposedPorts": {"8888/tcp": {}},
}


def cached(folder: Path, name: str, suffix: str, inputs: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """Return the file for these inputs; if it is not there, make it and drop those of other inputs."""
    target = folder / f"{name}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]}.{suffix}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        make(partial)
        for old in folder.glob(f"{name}-{'[0-9a-f]' * 16}.{suffix}"):
            old.unlink()
        partial.rename(target)
    return target


def archive_of(image: Image, folder: Path) -> Path:
    """Return the archive of an image."""
    inputs = (*(layer.name for layer in image.layers), repr(image.settings))
    name = image.name.rpartition("/")[2].partition(":")[0]
    return cached(folder, name, "tar", inputs, lambda path: write_archive(image, path))


def _base_inputs() -> tuple[str, ...]:
    return (SUITE, *PACKAGES, *UNUSED)


def _pins() -> tuple[str, ...]:
    """Return the lock's `name==version ; markers` lines; the hashes stay out as only some of the lock is installed."""
    lines = (REPOSITORY / "requirements" / "hub.lock").read_text().splitlines()
    return tuple(line.rstrip(" \\") for line in lines if re.match(r"[a-zA-Z0-9._-]+==", line))


def _mirror() -> str:
    """Return the Debian mirror that apt uses here, else Debian's own."""
    texts = [path.read_text() for path in Path("/etc/apt").glob("sources.list*") if path.is_file()]
    texts += [path.read_text() for path in Path("/etc/apt/sources.list.d").glob("*") if path.is_file()]
    found = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(https?://\S+/debian/?)(?=\s|$)", "\n".join(texts), re.MULTILINE)
    return found.group(1) if found else DEBIAN


def _make_base_layer(target: Path, say: Callable[[str], None]) -> None:
    say(f"Making {BASE_IMAGE}: Debian {SUITE} with {', '.join(PACKAGES)}")
    with scratch(target.parent) as root:
        log = target.with_name("debootstrap.log")
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), _mirror()]
        with log.open("wb") as output:
            if subprocess.run(command, stdout=output, stderr=output, timeout=900, check=False).returncode:
                raise RuntimeError(f"debootstrap failed:\n{log.read_text()[-2000:]}")
        for folder in UNUSED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        tar(root, ["."], target)


def _make_user_layer(base: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"Making {SINGLEUSER_IMAGE}: {', '.join(PYTHON_PACKAGES)} as locked")
    with scratch(target.parent) as root:
        subprocess.run(["tar", "-C", root, "--numeric-owner", "-xf", base], check=True, timeout=300)
        in_root(root, "useradd", "--create-home", "--uid", "1000", "--user-group", "--shell", "/bin/bash", "jovyan")
        (root / "tmp/pins.txt").write_text("\n".join(_pins()))
        lend_network(root)
        in_root(root, "python3", "-m", "venv", "/opt/venv")
        in_root(root, "/opt/venv/bin/pip", "install", "--quiet", "--no-cache-dir", "--constraint", "/tmp/pins.txt", *PYTHON_PACKAGES)
        for path in (root / "opt/venv").rglob("*.map"):
            path.unlink()
        tar(root, ["etc/passwd", "etc/group", "etc/shadow", "etc/subuid", "etc/subgid", "home", "opt/venv"], target)


def file_layer(folder: Path, name: str, source: Path, place: str) -> Path:
    """Return a layer with one file that everybody may run."""
    content = source.read_bytes()

    def make(target: Path) -> None:
        with tarfile.open(target, "w") as archive:
            add_bytes(archive, place, content, 0o755)

    return cached(folder, name, "layer", (hashlib.sha256(content).hexdigest(), place), make)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty root file system's folder that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="root-", dir=folder))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for mounted in ("proc", "sys"):
            subprocess.run(["umount", "--lazy", path / mounted], check=False, capture_output=True, timeout=30)
        shutil.rmtree(path, ignore_errors=True)


def lend_network(root: Path) -> None:
    """Let programs in the root find names and trust what this machine trusts."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    if Path("/", BUNDLE).exists():
        shutil.copy(Path("/", BUNDLE), root / BUNDLE)


def in_root(root: Path, *command: str) -> None:
    """Run a program in the root file system; of our environment it gets pip's index and proxies only."""
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    lent = {name: os.environ[name] for name in names if name in os.environ}
    environment = {**lent, "PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "PIP_CERT": f"/{BUNDLE}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(["chroot", root, *command], env=environment, capture_output=True, text=True, timeout=900, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(result.stdout + result.stderr)[-2000:]}")


def tar(root: Path, names: list[str], target: Path) -> None:
    """Write a layer."""
    subprocess.run(["tar", "-C", root, "--numeric-owner", "--sort=name", "-cf", target, *names], check=True, timeout=300)
