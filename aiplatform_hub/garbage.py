"""When Python looks for garbage: seldom, and not through what stays for good.

A full look goes through every object of the process: with a long history in memory it took up to 200 ms, in the middle of somebody's page, and
a start of a hub with a thousand servers made five of them.
"""

from __future__ import annotations

import gc

ALLOCATIONS = 50_000
"""So many objects more than were freed until the youngest are looked at."""
YOUNG_LOOKS, MIDDLE_LOOKS = 20, 50
"""So many looks at the younger until the next older are looked at, too."""


def look_seldom() -> None:
    """Let everything that is there now stay unlooked at, and look seldom at what comes. Call it once the process has read what it keeps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, YOUNG_LOOKS, MIDDLE_LOOKS)
