"""What a lock says is inside an environment."""

from __future__ import annotations

from aiplatform_hub.domain.contents import Package, contents_of, node_versions, pinned_versions

LOCK = """\
# made by a tool
absl-py==2.5.1 \\
    --hash=sha256:00
    # via tensorboard
scikit_learn==1.8.0 ; python_version >= "3.11" \\
    --hash=sha256:11
tensorflow[and-cuda]==2.21.0 \\
    --hash=sha256:22
"""


def test_versions_are_found_under_whatever_spelling_of_the_name() -> None:
    packages = contents_of(("Scikit-Learn", "tensorflow", "absl.py"), pinned_versions(LOCK))
    assert packages == (Package("Scikit-Learn", "1.8.0"), Package("tensorflow", "2.21.0"), Package("absl.py", "2.5.1"))


def test_package_that_no_lock_has_is_named_without_a_version() -> None:
    assert contents_of(("torch",), pinned_versions(LOCK)) == (Package("torch", None),)


def test_node_lock_gives_top_level_packages_only() -> None:
    lock = (
        '{"packages": {"": {"version": "1"}, "node_modules/code-server": {"version": "4.139.0"}, "node_modules/code-server/node_modules/x": {"version": "9"}}}'
    )
    assert node_versions(lock) == {"code-server": "4.139.0"}


def test_text_that_is_no_lock_gives_nothing() -> None:
    assert node_versions("[") == node_versions("{}") == node_versions("[]") == {}
    assert pinned_versions("torch>=2") == {}
