"""``aiplatform catalog add-image``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.catalog.overlay import entry_text, write_environment_template
from aiplatform_hub.cli.operator import config_option, data_dir_option, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, say
from aiplatform_hub.clients.image_trial import try_in_cluster, try_with_engine
from aiplatform_hub.config import Place, Settings, detect_namespace, detect_place
from aiplatform_hub.domain.images import ImageFacts, problem_of, read_facts
from aiplatform_hub.errors import ConflictError, InvalidOptionError

TIMEOUT_SECONDS = 600


class AmountRange(click.ParamType[dict[str, int]]):
    """``N``, ``MIN-MAX`` or ``MIN-MAX:DEFAULT``; the default is MIN."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        """Return the range as the catalogue writes it."""
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5})(?::(\d{1,5}))?)?", str(value))
        if not found:
            self.fail(f"{value} is no range; write 2, 0-4 or 0-4:1", param, ctx)
        low = int(found[1])
        return {"min": low, "max": int(found[2] or low), "default": int(found[3] or low)}


@click.command("add-image")
@click.argument("name")
@click.argument("image")
@click.option("--gpus", type=AmountRange(), default="0", metavar="MIN-MAX[:DEFAULT]", show_default=True, help="GPUs to choose from, for example 0-4:1.")
@click.option("--memory-gib", type=AmountRange(), default="1-16:4", metavar="MIN-MAX[:DEFAULT]", show_default=True, help="Memory to choose from, in GiB.")
@click.option("--cpu-cores", type=AmountRange(), default="1-4:2", metavar="MIN-MAX[:DEFAULT]", show_default=True, help="CPU cores to choose from.")
@click.option("--display-name", help="What people read; default: NAME.")
@click.option("--description", help="One sentence for the launch page.")
@click.option("--default-url", default="", help="Path that opens, for example /vscode/; default: /lab, or /tree without JupyterLab.")
@click.option("--gpu-type", "gpu_types", multiple=True, help="Allowed GPU type; may be given several times; default: every type.")
@click.option("--allowed-group", "allowed_groups", multiple=True, help="JupyterHub group that sees it; may be given several times; default: everybody.")
@click.option("--replace", is_flag=True, help="Also where the catalogue has an entry of this name.")
@click.option("--dry-run", is_flag=True, help="Try the image and print the entry, but write nothing.")
@click.option("--place", type=click.Choice([place.value for place in Place]), help="Where to try it; default: the cluster of this pod, else this machine.")
@click.option("--namespace", default="", help="Namespace of the pod that tries it; default: this pod's own.")
@click.option("--pull-secret", "pull_secrets", multiple=True, help="Name of the namespace's image pull secret; may be given several times.")
@click.option("--timeout-seconds", type=click.FloatRange(1), default=TIMEOUT_SECONDS, show_default=True, help="How long pulling and trying may take.")
@click.option("--catalog-dir", type=click.Path(path_type=Path, file_okay=False), help="Catalogue folder to write to; default: the installation's own.")
@data_dir_option
@config_option
@json_option
@guarded
def add_image(  # noqa: PLR0913 - one parameter for each option
    *,
    name: str,
    image: str,
    replace: bool,
    dry_run: bool,
    catalog_dir: Path | None,
    data_dir: Path,
    config_file: Path | None,
    as_json: bool,
    place: str | None,
    namespace: str,
    pull_secrets: tuple[str, ...],
    timeout_seconds: float,
    **wishes: Any,
) -> None:
    """Try IMAGE and bring it into the catalogue as environment template NAME.

    The image is started once, in a pod of the cluster or by this machine's podman or docker. It must have
    jupyterhub-singleuser of the hub's version on its path and run as user 1000.
    """
    settings = settings_of(data_dir, config_file, must_exist=not (catalog_dir or dry_run))
    folder = catalog_dir.absolute() if catalog_dir else _own_folder(settings)
    dirs = settings.resolved_catalog_dirs or ((folder,) if folder.is_dir() else ())
    if name in load_catalog(dirs).environment_templates and not replace:
        raise ConflictError(f"The catalogue has an environment template {name} already. Take another name, or replace it: --replace. Nothing was tried.")
    entry = _entry(name, image, wishes)
    write_environment_template(folder, dirs, name, entry, is_only_checked=True)
    chosen, where = Place(place) if place else detect_place(), namespace or detect_namespace()
    if not as_json:
        say(f"Trying {image} {f'in namespace {where}' if chosen is Place.CLUSTER else 'on this machine'} …")
    facts = read_facts(_tried(image, chosen, where, pull_secrets, timeout_seconds))
    problem = problem_of(facts)
    if problem:
        raise InvalidOptionError(f"{image} cannot be used. {problem}")
    if not wishes["default_url"] and not facts.jupyterlab:
        entry["default_url"] = "/tree"
    file = None if dry_run else write_environment_template(folder, dirs, name, entry)
    _print(facts, name, entry, file, as_json=as_json)


def _tried(image: str, place: Place, namespace: str, pull_secrets: tuple[str, ...], timeout_seconds: float) -> str:
    """Start the image once and return what it says of itself."""
    if place is Place.CLUSTER:
        return try_in_cluster(image, namespace=namespace, pull_secrets=pull_secrets, timeout_seconds=timeout_seconds)
    return try_with_engine(image, timeout_seconds=timeout_seconds)


def _own_folder(settings: Settings) -> Path:
    """Return the installation's last catalogue folder: what it says wins."""
    return settings.catalog_dirs[-1].absolute() if settings.catalog_dirs else settings.data_dir / "catalog"


def _entry(name: str, image: str, wishes: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "display_name": wishes["display_name"] or name,
        "description": wishes["description"] or f"The image {image}.",
        "container_image": image,
        "gpus": wishes["gpus"],
        "memory_gib": wishes["memory_gib"],
        "cpu_cores": wishes["cpu_cores"],
        "command": ["jupyterhub-singleuser"],
        "default_url": wishes["default_url"] or "/lab",
    }
    lists = {key: list(wishes[key]) for key in ("gpu_types", "allowed_groups") if wishes[key]}
    return {**entry, **lists}


def _print(facts: ImageFacts, name: str, entry: dict[str, Any], file: Path | None, *, as_json: bool) -> None:
    if as_json:
        found = {"jupyterhub": facts.jupyterhub, "jupyterlab": facts.jupyterlab, "python": facts.python}
        print_json({"name": name, "entry": entry, "file": str(file) if file else None, "found": found})
        return
    say(f"It answers: jupyterhub-singleuser {facts.jupyterhub}, JupyterLab {facts.jupyterlab or 'none'}, Python {facts.python or 'none'}.")
    say(f"\n{entry_text(name, entry)}")
    if file:
        say(f"Written to {file}. The hub and its services read it at their next start.")
        say("Clusters start it from the image; on one machine servers run as processes, in the hub's own Python environment.")
    else:
        say("Nothing was written (--dry-run).")
