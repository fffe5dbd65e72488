"""Keeps a test cluster standing: `python -m tests.cluster.machinery up|down|status|images|volumes|heal`."""

import argparse
import json
import sys
from pathlib import Path

from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.layout import DEFAULT_RUN, RunFolder
from tests.cluster.machinery.requirements import missing_requirements
from tests.cluster.machinery.up import bring_up, build_all
from tests.cluster.machinery.volumes import STORAGE_CLASS, make_volumes


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Do what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.machinery", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status", "images", "volumes", "heal"])
    parser.add_argument("--run-dir", type=Path, default=DEFAULT_RUN, help="folder of the running cluster; short, as sockets are in it")
    parser.add_argument("--count", type=int, default=5, help="volumes: how many")
    parser.add_argument("--size", default="10Gi", help="volumes: how large")
    parser.add_argument("--storage-class", default=STORAGE_CLASS, help="volumes: of which class")
    options = parser.parse_args()
    if problem := missing_requirements():
        say(problem)
        return 2
    run = RunFolder(options.run_dir.resolve())
    cluster = Cluster(run)
    if options.action == "up":
        bring_up(run, say)
    elif options.action == "down":
        cluster.stop()
    elif options.action == "heal":
        cluster.heal()
    elif options.action == "status":
        print(json.dumps(cluster.status(), indent=2))
    elif options.action == "images":
        for name, archive in build_all(say)[1].items():
            print(name, archive)
    else:
        print("\n".join(make_volumes(cluster, options.count, options.size, options.storage_class)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
