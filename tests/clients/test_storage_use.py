"""A home is counted as the disk counts it, or not at all."""

import os
import subprocess

from aiplatform_hub.clients.storage_use import home_bytes


def test_home_counts_what_du_counts(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data").write_bytes(os.urandom(300_000))
    os.link(tmp_path / "a" / "data", tmp_path / "again")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 10**9)
    (tmp_path / "out").symlink_to("/usr")
    expected = int(subprocess.run(["du", "-s", "-B1", tmp_path], capture_output=True, check=True).stdout.split()[0])
    assert home_bytes(tmp_path) == expected


def test_home_that_is_not_there_or_takes_too_long_is_unknown(tmp_path):
    assert home_bytes(tmp_path / "nobody") is None
    for number in range(1200):
        (tmp_path / str(number)).touch()
    assert home_bytes(tmp_path, timeout_seconds=-1) is None


def test_home_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "home").symlink_to("/usr")
    assert home_bytes(tmp_path / "home") is None
