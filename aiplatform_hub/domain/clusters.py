"""Which cluster a database belongs to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

COMMAND = "aiplatform move-cluster"
"""What an operator runs who really moved."""


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """A namespace of a cluster, which no other cluster and no later namespace of the same name has."""

    namespace_uid: str
    """Given by the API server to the namespace object; this alone is compared."""
    namespace: str
    api_server: str
    """Address under which the keeper reached it; for people, as it may change."""

    def __str__(self) -> str:
        return f"namespace {self.namespace} (UID {self.namespace_uid}) of the cluster at {self.api_server}"


def elsewhere(home: ClusterIdentity, here: ClusterIdentity) -> str:
    """Return the sentence of a keeper that finds a database of another cluster."""
    return (
        f"The database belongs to {home}, but this is {here}. So the keeper does nothing and ends nothing: give it the other cluster's address "
        f"or a database of its own. If the platform moved here for good, run `{COMMAND}`; it shows what will end."
    )


def unproven(here: ClusterIdentity, active: int) -> str:
    """Return the sentence of a keeper that finds running sessions in a database of no known cluster, and none of them here."""
    sessions = "1 session runs" if active == 1 else f"{active} sessions run"
    return (
        f"By the database {sessions}, and none of them has a pod in {here}. So the keeper does nothing and ends nothing: give it the cluster "
        f"that they run in, or a database of its own. If that is gone for good, run `{COMMAND}`; it shows what will end."
    )


def on_a_machine(home: ClusterIdentity) -> str:
    """Return the sentence of a single machine's keeper that finds a cluster's database."""
    return f"The database belongs to {home}, but this keeper is of a single machine. So it does nothing and ends nothing: give it a database of its own."
