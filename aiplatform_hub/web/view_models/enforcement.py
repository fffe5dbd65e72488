"""Sentences about the limits that bind, each with whether it does."""

from __future__ import annotations


def limit_line(resource: str, reason: str, *, is_enforced: bool) -> tuple[str, bool]:
    """Return whether the limits on memory or CPU bind here, in words."""
    what = {"memory": "Memory", "cpu": "CPU"}.get(resource, resource)
    if is_enforced:
        return f"{what} limits bind: a session cannot take more than it was promised.", True
    return f"{what} limits are counted but do not bind" + (f": {reason}" if reason else "."), False


def isolation_line(*, is_isolated: bool) -> tuple[str, bool]:
    """Return whether people's servers are kept apart, in words."""
    if is_isolated:
        return "Each person's servers run under an account of their own.", True
    return "Users are isolated neither from each other nor from the hub, its secrets and the ledger.", False


def origin_line(*, has_own_origins: bool) -> tuple[str, bool]:
    """Return whether a browser keeps people's servers apart, in words."""
    if has_own_origins:
        return "Each person's servers have a host name of their own: a browser keeps them apart from the hub and from each other.", True
    risk = "People's servers share the hub's origin: an admin who opens someone's server runs that person's scripts with an admin's rights."
    return f"{risk} c.JupyterHub.subdomain_host gives each person a host name.", False


def pod_lines(*, has_gpus: bool) -> tuple[tuple[str, bool], ...]:
    """Return what binds because each session is a pod, and what its cluster has to do for it, in words."""
    lines = [
        ("Memory and CPU limits bind: each session is a pod with limits of its own.", True),
        ("Sessions reach each other unless the cluster's network enforces NetworkPolicies; not every one does.", False),
    ]
    return (*lines, ("A pod is given its GPUs by its node and reaches no others.", True)) if has_gpus else tuple(lines)


def gpu_line(*, is_simulated: bool) -> tuple[str, bool]:
    """Return whether a session can reach GPUs that it does not hold, in words."""
    if is_simulated:
        return "The GPUs are simulated: nothing computes on a GPU here.", False
    return "GPUs are advisory: sessions get theirs by CUDA_VISIBLE_DEVICES, and a program that unsets it reaches the others.", False
