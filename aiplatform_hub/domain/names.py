"""What people call a server: its environment and its own name. Pure."""

from __future__ import annotations

from functools import lru_cache


def is_same_name(title: str, server_name: str) -> bool:
    """Whether a server's name says nothing that its environment's title does not: by default it is the environment's own name."""
    return _letters(title) == _letters(server_name)


@lru_cache(maxsize=4096)
def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
