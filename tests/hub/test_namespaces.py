"""A person's own namespace follows their tier."""

from __future__ import annotations

from decimal import Decimal

from aiplatform_hub.domain.limits import PROJECT, USER, Limit
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.hub.namespaces import is_owned, labels, limit_range, network_policy, resource_quota, storage_gib

LIMITS = (
    Limit(USER, "ada", "gpus", Decimal(2)),
    Limit(USER, "ada", "gpus", Decimal(1), gpu_type="h100"),
    Limit(USER, "ada", "gpu_hours", Decimal(9), window_days=7),
    Limit(USER, "ada", "memory_bytes", Decimal(32 * GIB)),
    Limit(USER, "ada", "environments", Decimal(5)),
    Limit(USER, "ada", "storage_bytes", Decimal(100 * GIB)),
    Limit(PROJECT, "vision", "gpus", Decimal(1)),
)


def test_quota_is_the_tiers() -> None:
    assert resource_quota(LIMITS, {"nvidia.com/gpu", "amd.com/gpu"})["spec"]["hard"] == {
        "requests.amd.com/gpu": "2",
        "requests.nvidia.com/gpu": "2",
        "requests.memory": str(32 * GIB),
        "limits.memory": str(32 * GIB),
        "pods": "7",
        "requests.storage": str(100 * GIB),
    }


def test_limits_bound_one_container() -> None:
    (item,) = limit_range(LIMITS)["spec"]["limits"]
    assert item["max"] == {"memory": str(32 * GIB)}
    assert item["default"]["memory"] == str(GIB)


def test_home_is_the_tiers_storage() -> None:
    assert storage_gib(LIMITS) == 100
    assert storage_gib(()) is None


def test_labels_say_whose_it_is_and_restrict_pods() -> None:
    found = labels(7, "jhub")
    assert found["aiplatform-hub/owner"] == "7"
    assert found["aiplatform-hub/hub-namespace"] == "jhub"
    assert found["pod-security.kubernetes.io/enforce"] == "restricted"


def test_namespace_of_another_hub_is_nobodys_here_whatever_its_owners_number() -> None:
    assert is_owned(labels(7, "jhub") | {"more": "x"}, 7, "jhub")
    assert not is_owned(labels(7, "other"), 7, "jhub")
    assert not is_owned(labels(8, "jhub"), 7, "jhub")
    assert not is_owned(None, 7, "jhub")


def test_pods_reach_hub_platform_dns_and_internet_alone() -> None:
    egress = network_policy("jhub")["spec"]["egress"]
    assert egress[0]["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "jhub"}
    assert "169.254.0.0/16" in egress[3]["to"][0]["ipBlock"]["except"]
