"""(a) A start through our chain against the stock SimpleLocalProcessSpawner, with a trivial server.

Two real hubs, each behind its own proxy, start and stop the same tiny server in turns. Timed is
``POST /hub/api/users/U/server`` until the hub answers 201: the server answers and its route exists.
CPU is what the hub's threads ran meanwhile (children not counted).

Run: python benchmarks/start.py [--turns 60] [--gpus 1]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import requests
from pairs import Pair, machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.hub import TRIVIAL, RealHub, wait_for

TARGET_RATIO = 1.05
TARGET_CPU_MS = 5.0
USER = "user0"


class StockHub(RealHub):
    """The same hub and proxy without our package."""

    def prepare(self) -> None:
        self.folder.chmod(0o755)
        shutil.copyfile(Path(__file__).parents[1] / "tests" / "support" / "trivial_server.py", self.folder / "trivial_server.py")
        (self.folder / "jupyterhub_config.py").write_text(
            textwrap.dedent(f"""
            c = get_config()
            c.JupyterHub.spawner_class = "simple"
            c.SimpleLocalProcessSpawner.home_dir_template = "{self.folder}/homes/{{username}}"
            c.Spawner.cmd = ["/usr/bin/python3", "{self.folder}/trivial_server.py"]
            c.JupyterHub.authenticator_class = "dummy"
            c.Authenticator.allowed_users = {set(self.tokens)!r}
            c.Authenticator.admin_users = {{"admin"}}
            c.JupyterHub.bind_url = {self.url!r}
            c.JupyterHub.hub_ip = "127.0.0.1"
            c.JupyterHub.hub_port = {self.hub_port}
            c.JupyterHub.db_url = "sqlite:///{self.folder}/jupyterhub.sqlite"
            c.JupyterHub.cookie_secret_file = "{self.folder}/cookie_secret"
            c.JupyterHub.api_tokens = { ({token: name for name, token in self.tokens.items()})!r}
            c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{self.proxy_port}"
            c.ConfigurableHTTPProxy.auth_token = {self.proxy_token!r}
            c.ConfigurableHTTPProxy.should_start = False
            """)
        )

    def close(self) -> None:
        assert self.hub is not None
        assert self.proxy is not None
        self.kill_hub(15)
        self.proxy.kill()
        self.proxy.wait(10)


@dataclass
class Side:
    """One hub and what its starts took."""

    hub: RealHub
    body: dict[str, object] | None
    seconds: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)

    def start(self, *, is_counted: bool) -> None:
        cpu, began = self._cpu_ms(), time.perf_counter()
        answer = self._call("POST")
        seconds = time.perf_counter() - began
        cpu = self._cpu_ms() - cpu
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}\n{self.hub.log()}"
        if is_counted:
            self.seconds.append(seconds)
            self.cpu_ms.append(cpu)
        wait_for(lambda: self._call("DELETE").status_code == 204 and not self.hub.server(USER), "the server stopped")

    def _call(self, method: str) -> requests.Response:
        headers = {"Authorization": f"token {self.hub.tokens[USER]}"}
        body = {"user_options": self.body} if self.body and method == "POST" else None
        return self.session.request(method, f"{self.hub.url}/hub/api/users/{USER}/server", headers=headers, json=body, timeout=60)

    def _cpu_ms(self) -> float:
        assert self.hub.hub is not None
        tasks = Path(f"/proc/{self.hub.hub.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def run(ours: Side, stock: Side, turns: int) -> None:
    for turn in range(-5, turns):
        for side in (ours, stock) if turn % 2 else (stock, ours):
            side.start(is_counted=turn >= 0)
            time.sleep(0.2)


def report(ours: Side, stock: Side, gpus: int) -> None:
    pair = Pair(ours.seconds, stock.seconds)
    print(pair.line(f"start with {gpus} GPUs through the hub's REST", TARGET_RATIO))
    for name, side in (("ours", ours), ("stock", stock)):
        tenths = statistics.quantiles(side.seconds, n=10)
        print(
            f"  {name}: p10 {tenths[0] * 1000:.1f}, p50 {tenths[4] * 1000:.1f}, p90 {tenths[8] * 1000:.1f} ms; hub CPU p50 {statistics.median(side.cpu_ms):.1f} ms"
        )
    overhead = statistics.median(pair.ours) / statistics.median(pair.floor) - 1
    extra = statistics.median(a - b for a, b in zip(ours.cpu_ms, stock.cpu_ms, strict=True))
    print(f"  p50 against p50: {overhead:+.1%} (target +5 %, {'met' if overhead <= TARGET_RATIO - 1 else 'missed'})")
    print(
        f"  extra CPU of the hub per start: median {extra:.1f} ms (target {TARGET_CPU_MS:.0f} ms, {'met' if extra <= TARGET_CPU_MS else 'missed'})", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--gpus", type=int, default=1)
    arguments = parser.parse_args()
    print(machine())
    with ExitStack() as stack:
        hubs = [_started(stack, make) for make in (RealHub, StockHub)]
        body: dict[str, object] = {"environment_template": TRIVIAL, "gpus": arguments.gpus}
        ours, stock = Side(hubs[0], body), Side(hubs[1], None)
        run(ours, stock, arguments.turns)
        report(ours, stock, arguments.gpus)


def _started(stack: ExitStack, make: Callable[[Path], RealHub]) -> RealHub:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    hub = make(folder)
    hub.prepare()
    hub.start_proxy()
    stack.callback(hub.close)
    hub.start_hub()
    return hub


if __name__ == "__main__":
    main()
