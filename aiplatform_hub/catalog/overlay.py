"""Writes an entry into an operator's catalogue folder, and leaves everything else in the file as it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.errors import CatalogError, ConfigurationError

_HEADER = "# Laid over the built-in environment templates: an entry replaces the built-in one of its name as a whole.\n"


class _Dumper(yaml.SafeDumper):
    """Writes equal values out each time: a catalogue has no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def entry_text(name: str, entry: Mapping[str, Any]) -> str:
    """Return an entry as YAML."""
    return yaml.dump({name: dict(entry)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=160)


def with_entry(text: str, name: str, entry: Mapping[str, Any]) -> str:
    """Return a file's text with an entry in the place of the one of its name, else at its end."""
    lines = text.splitlines(keepends=True)
    own = entry_text(name, entry).splitlines(keepends=True)
    span = _span_of(text, lines, name)
    if span:
        return "".join([*lines[: span[0]], *own, *lines[span[1] :]])
    before = lines or [_HEADER]
    if not before[-1].endswith("\n"):
        before = [*before[:-1], f"{before[-1]}\n"]
    return "".join([*before, *own])


def _span_of(text: str, lines: Sequence[str], name: str) -> tuple[int, int] | None:
    """Return the lines of an entry, the second exclusive: without the blank lines and comments before the next one."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    starts = [(key.value, key.start_mark.line) for key, _ in root.value]
    place = next((index for index, (key, _) in enumerate(starts) if key == name), None)
    if place is None:
        return None
    begin = starts[place][1]
    end = starts[place + 1][1] if place + 1 < len(starts) else len(lines)
    while end > begin + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return begin, end


def write_environment_template(folder: Path, overlay_dirs: Sequence[Path], name: str, entry: Mapping[str, Any], *, is_only_checked: bool = False) -> Path:
    """Write an entry of ``environment_templates.yaml``, after reading the whole catalogue as it would be.

    Parameters
    ----------
    folder
        Is made if it does not exist.
    overlay_dirs
        The installation's folders, in order; ``folder`` is the last if it is not among them.
    is_only_checked
        Read the catalogue as it would be, and write nothing.

    Raises
    ------
    CatalogError
        If the catalogue would not be valid; nothing was written.
    ConfigurationError
        If the folder cannot be written; the message has the entry.
    """
    file = folder / "environment_templates.yaml"
    try:
        text = with_entry(file.read_text(encoding="utf-8") if file.exists() else "", name, entry)
        _check(folder, overlay_dirs, text)
        if is_only_checked:
            return file
        folder.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    except yaml.YAMLError as error:
        raise CatalogError(f"{file} is not valid YAML; see `aiplatform check-catalog`. Nothing was written.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"Cannot write {file}: {reason}. Put this entry where the catalogue comes from:\n\n{entry_text(name, entry)}") from error
    return file


def _check(folder: Path, overlay_dirs: Sequence[Path], text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="aiplatform-catalog-") as name:
        trial = Path(name) / "catalog"
        if folder.is_dir():
            shutil.copytree(folder, trial)
        else:
            trial.mkdir()
        (trial / "environment_templates.yaml").write_text(text, encoding="utf-8")
        dirs = list(overlay_dirs) if folder in overlay_dirs else [*overlay_dirs, folder]
        try:
            load_catalog([trial if each == folder else each for each in dirs])
        except CatalogError as error:
            raise CatalogError(f"Nothing was written. {error.message}".replace(str(trial), str(folder))) from error
