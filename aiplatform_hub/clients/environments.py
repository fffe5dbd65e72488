"""Where the programs of environment templates are on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from aiplatform_hub.domain.catalog import EnvironmentTemplate


def build_command(template: EnvironmentTemplate) -> str:
    """Return the command that makes an environment available."""
    return f"aiplatform environments build {template.name}"


def program_of(template: EnvironmentTemplate, environments_dir: Path) -> Path:
    """Return the template's program: in its built environment, else in the hub's own; it may not exist."""
    program = template.command[0]
    if "/" in program:
        return Path(program)
    if template.image is not None:
        built = environments_dir / template.image / "bin" / program
        if built.exists():
            return built
    return Path(sys.prefix) / "bin" / program


def unavailable_reason(template: EnvironmentTemplate, environments_dir: Path) -> str | None:
    """Return why an environment cannot start on this machine yet and what brings it, or None."""
    folder = Path(sys.prefix) if template.image is None else environments_dir / template.image
    missing = [program for program in template.requires if not (folder / program).exists()]
    if missing and template.image is not None:
        return f"{template.display_name} is not built on this machine yet. An administrator builds it with: {build_command(template)}"
    program = program_of(template, environments_dir)
    if missing or not program.exists():
        return f"{template.display_name} cannot start: the program {missing[0] if missing else program} is missing in the platform's own Python environment."
    return None
