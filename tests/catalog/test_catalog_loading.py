"""The built-in catalogue, and how folders lie over it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from aiplatform_hub.catalog.loader import DEFAULT_DIR, DEMO_DIR, KINDS, load_catalog
from aiplatform_hub.clients.gpus import gpu_type_of
from aiplatform_hub.domain.catalog import LimitAmount, NodePool, Range
from aiplatform_hub.domain.options import options_of, resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import GIB

SEED = {
    "pytorch": ("PyTorch", 1, 16, "pytorch"),
    "tensorflow": ("TensorFlow + Keras", 1, 16, "tensorflow"),
    "code-server": ("VS Code", 1, 8, "code-server"),
    "multi-gpu": ("Multi-GPU training", 4, 32, "pytorch"),
    "jupyterlab": ("JupyterLab", 0, 4, None),
}

TIERS = {"default": (2, 32, 100, 5), "premium": (4, 64, 500, 10), "guest": (0, 8, 10, 1)}

TERMINAL_KEEPS_THE_PATH = '--ServerApp.terminado_settings={"shell_command":["/bin/sh","-c","exec \\"${SHELL:-/bin/sh}\\""]}'
"""A login shell would reset the path, and `python` would be another one."""


def test_seed_environment_templates_are_as_promised():
    catalog = load_catalog()
    seen = {t.name: (t.display_name, t.gpus.default, t.memory_gib.default, t.image) for t in catalog.environment_templates.values()}
    assert seen == SEED
    for template in catalog.environment_templates.values():
        assert (template.gpus.minimum, template.gpus.maximum) == (0, 4)
        assert template.command[0] == "jupyterhub-singleuser"
        # Built environments bring this setting as a file; the hub's own has none.
        arguments = () if template.image else (TERMINAL_KEEPS_THE_PATH,)
        assert template.command[1:] == arguments


def test_code_server_opens_through_the_proxy_on_a_socket():
    template = load_catalog().environment_templates["code-server"]
    assert template.default_url == "/vscode/"
    assert template.requires == ("bin/jupyterhub-singleuser", "bin/code-server")
    assert template.environment == {"JUPYTER_VSCODE_PROXY_USE_SOCKET": "1", "VSCODE_CLI": "1"}


@pytest.mark.parametrize("name", TIERS)
def test_seed_tiers_are_as_promised(name):
    gpus, memory, storage, environments = TIERS[name]
    assert load_catalog().tiers[name].limits == (
        LimitAmount("gpus", Decimal(gpus)),
        LimitAmount("memory_bytes", Decimal(memory * GIB)),
        LimitAmount("storage_bytes", Decimal(storage * GIB)),
        LimitAmount("environments", Decimal(environments)),
    )


def test_every_gpu_type_has_a_price_from_the_first_card_on():
    (card,) = load_catalog().rate_cards
    assert (card.version, card.currency, card.effective_from) == ("2026-01", "EUR", datetime(2026, 1, 1, tzinfo=UTC))
    assert card.gpu_hour["simulated"] == 0
    assert all(isinstance(price, Decimal) for price in (*card.gpu_hour.values(), card.cpu_only_hour))


def test_every_seed_template_resolves_with_its_defaults():
    catalog = load_catalog()
    for name in catalog.environment_templates:
        request = resolve({"environment_template": name}, catalog=catalog, caller=Caller(1, "a"))
        assert request.project == "personal"
        assert resolve(options_of(request), catalog=catalog, caller=Caller(1, "a")) == request


@pytest.mark.parametrize(
    ("product", "gpu_type"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", "a10"),
        ("NVIDIA A40", "a40"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40", "l40"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA RTX A4000", "other"),
        ("NVIDIA RTX A6000", "rtxa6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx6000ada"),
        ("Tesla T4", "t4"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("Matrox Millennium", "other"),
        ("", "other"),
    ],
)
def test_product_names_become_types(product, gpu_type):
    assert gpu_type_of(product, load_catalog().gpu_types) == gpu_type


def test_demo_adds_projects_and_a_price_for_simulated_gpus():
    catalog = load_catalog([DEMO_DIR])
    vision, nlp = catalog.projects["vision"], catalog.projects["nlp"]
    assert vision.limits == (LimitAmount("gpus", Decimal(3)),)
    assert (vision.groups, vision.cost_centre, nlp.groups, nlp.cost_centre) == (("vision",), "vision", ("nlp",), "nlp")
    assert catalog.projects["personal"].is_personal
    plain = load_catalog().rate_cards[0]
    assert catalog.rate_cards[0].gpu_hour == {**plain.gpu_hour, "simulated": Decimal("1.50")}


def test_later_folders_replace_whole_entries_by_name(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "tiers.yaml").write_text("guest:\n  display_name: Visitor\n  priority: 1\n  limits: []\n")
    (two / "tiers.yaml").write_text("guest:\n  display_name: Trial\n  priority: 2\n  limits: [{dimension: gpu_hours, amount: '1.5', window_days: 7}]\n")
    assert load_catalog([one]).tiers["guest"].display_name == "Visitor"
    guest = load_catalog([one, two]).tiers["guest"]
    assert (guest.display_name, guest.groups) == ("Trial", ())
    assert guest.limits == (LimitAmount("gpu_hours", Decimal("1.5"), window_days=7),)
    assert load_catalog([one, two]).tiers["default"].priority == 10


def test_null_removes_an_entry(tmp_path: Path):
    (tmp_path / "environment_templates.yaml").write_text("tensorflow:\nmulti-gpu: null\n")
    assert list(load_catalog([tmp_path]).environment_templates) == ["pytorch", "code-server", "jupyterlab"]


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "---\n", "null\n", "{}\n", "\ufeff"])
def test_empty_file_is_fine(tmp_path: Path, content):
    (tmp_path / "tiers.yaml").write_text(content, encoding="utf-8")
    assert load_catalog([tmp_path]) == load_catalog()


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path):
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "tiers.yaml~").write_text("{{{")
    assert load_catalog([tmp_path]) == load_catalog()


def test_operator_may_offer_up_to_64_gpus(tmp_path: Path):
    text = (DEFAULT_DIR / "environment_templates.yaml").read_text()
    (tmp_path / "environment_templates.yaml").write_text(text.replace("{min: 0, max: 4, default: 4}", "{min: 8, max: 64, default: 16}"))
    assert load_catalog([tmp_path]).environment_templates["multi-gpu"].gpus == Range(8, 64, 16)


def test_rate_cards_are_in_order_of_their_instants(tmp_path: Path):
    (tmp_path / "rates.yaml").write_text(
        '"2025-07":\n  effective_from: 2025-07-01T00:00:00+02:00\n  currency: credits\n  cpu_only_hour: "0"\n  gpu_hour: {"*": "1"}\n'
    )
    cards = load_catalog([tmp_path]).rate_cards
    assert [card.version for card in cards] == ["2025-07", "2026-01"]
    assert cards[0].effective_from == datetime(2025, 6, 30, 22, tzinfo=UTC)


def test_node_pools_images_and_resources_are_read(tmp_path: Path):
    (tmp_path / "node_pools.yaml").write_text(
        "spot:\n  display_name: Spot\n  gpu_type: a100\n  gpus_per_node: 4\n  memory_gib: 340\n  cpu_cores: 46\n  max_nodes: 3\n"
        "  minutes_to_start: 6\n  node_selector: {example.org/pool: spot, empty: ''}\n"
    )
    (tmp_path / "gpu_types.yaml").write_text("slice:\n  display_name: Slice\n  resource: nvidia.com/mig-1g.10gb\n  product_label: example.org/product\n")
    catalog = load_catalog([tmp_path])
    assert catalog.node_pools == {"spot": NodePool("spot", "Spot", "a100", 4, 3, 6, {"example.org/pool": "spot", "empty": ""}, 340, 46)}
    assert (catalog.gpu_types["slice"].resource, catalog.gpu_types["slice"].product_label) == ("nvidia.com/mig-1g.10gb", "example.org/product")
    assert (catalog.gpu_types["a100"].resource, catalog.gpu_types["a100"].product_label) == ("nvidia.com/gpu", "nvidia.com/gpu.product")
    assert (catalog.gpu_types["mi300x"].resource, catalog.gpu_types["mi300x"].product_label) == ("amd.com/gpu", "amd.com/gpu.product-name")


@pytest.mark.parametrize(
    "image",
    ["pytorch", "quay.io/lab/pytorch:2.9", "localhost:5000/a/b", "registry.example.org:443/x/y_z:v1.0-RC@sha256:" + "a" * 64, "ghcr.io/a-b/c.d", "x:latest"],
)
def test_whole_image_references_are_taken(tmp_path: Path, image):
    (tmp_path / "environment_templates.yaml").write_text(
        "lab:\n  display_name: Lab\n  description: A lab.\n  gpus: {min: 0, max: 4, default: 1}\n  memory_gib: {min: 1, max: 8, default: 4}\n"
        f"  cpu_cores: {{min: 1, max: 4, default: 1}}\n  command: [jupyterhub-singleuser]\n  container_image: {image}\n  shared_memory_gib: 8\n"
    )
    lab = load_catalog([tmp_path]).environment_templates["lab"]
    assert (lab.container_image, lab.shared_memory_gib) == (image, 8)


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("NVIDIA-A100-SXM4-80GB", "a100"),
        ("Tesla-T4", "t4"),
        ("NVIDIA-RTX-6000-Ada-Generation", "rtx6000ada"),
        ("NVIDIA-GH200-480GB", "gh200"),
        ("AMD_Instinct_MI300X_OAM", "mi300x"),
    ],
)
def test_labels_of_nodes_become_types(product, expected):
    assert gpu_type_of(product, load_catalog().gpu_types) == expected


def test_built_in_files_are_the_kinds_and_hold_plain_names():
    assert {path.stem for path in DEFAULT_DIR.iterdir()} == set(KINDS)
    catalog = load_catalog([DEMO_DIR])
    for name in (*catalog.environment_templates, *catalog.gpu_types, *catalog.tiers, *catalog.projects):
        assert re.fullmatch(r"[a-z0-9-]{1,30}", name)
