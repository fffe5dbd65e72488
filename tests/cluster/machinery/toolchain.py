"""A Go that is new enough: the machine's, or one that the machine's older Go fetches as the module that it is."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

BRINGS_NEWER = (1, 21)
"""From this version on, Go fetches by itself the newer Go that a module asks for."""
FETCHED = "1.26.0"


def find_go(cache: Path) -> str:
    """Return the path of a usable go command, after fetching it if the machine's own is too old."""
    found = sorted(((_version(place), place) for place in _places()), reverse=True)
    if found and found[0][0] >= BRINGS_NEWER:
        return found[0][1]
    if not found:
        raise RuntimeError("the test cluster is built with Go, of which there is none: apt-get install golang-go, or https://go.dev/doc/install")
    folder = cache / f"go-{FETCHED}"
    if not folder.exists():
        _fetch(found[0][1], folder)
    return str(folder / "bin" / "go")


def _places() -> list[str]:
    names = [shutil.which("go"), "/usr/local/go/bin/go", *map(str, Path("/usr/lib").glob("go-1.*/bin/go"))]
    return [name for name in names if name and Path(name).exists()]


def _version(program: str) -> tuple[int, int]:
    """Return the version; 1.0 for one that does not start."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False, env=environment)
    matched = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(matched[1]), int(matched[2])) if matched else (1, 0)


def _fetch(older: str, folder: Path) -> None:
    """Fetch a Go through the module proxy, checked against the public checksum database; only newer ones make it executable themselves."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "go.mod").write_text("module fetch\n")
        command = [older, "mod", "download", "-json", f"golang.org/toolchain@v0.0.1-go{FETCHED}.linux-amd64"]
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        answer = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(answer.stdout + answer.stderr)[-2000:]}")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(json.loads(answer.stdout)["Dir"], partial)
    for tools in (partial / "bin", partial / "pkg" / "tool"):
        for path in tools.rglob("*"):
            path.chmod(0o755)
    partial.rename(folder)
