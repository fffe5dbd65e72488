"""What a keeper shows to Prometheus and to who asks whether it is well."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from aiplatform_hub import metrics

_UNAVAILABLE = 503
_LOG = logging.getLogger(__name__)


class MetricsHandler(RequestHandler):
    """What Prometheus reads."""

    def get(self) -> None:
        """Answer with this process's metrics and the platform's state."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(metrics.exposition(with_state=True))


class HealthHandler(RequestHandler):
    """Whether the keeper is at work."""

    def initialize(self, trouble: Callable[[], str], remark: Callable[[], str]) -> None:
        """Keep what says why it is not, and what else is amiss; empty while nothing is."""
        self._trouble = trouble
        self._remark = remark

    def get(self) -> None:
        """Answer 200, also where something is amiss with which it works on, or 503 with a sentence that says why it does nothing."""
        trouble, remark = self._trouble(), self._remark()
        self.set_status(_UNAVAILABLE if trouble else 200)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("".join(f"{line}\n" for line in (trouble or "The keeper is at work.", remark) if line))


def serve(host: str, port: int, trouble: Callable[[], str], remark: Callable[[], str] = lambda: "") -> HTTPServer:
    """Listen. A port that is taken costs the metrics, not the ledger.

    Parameters
    ----------
    host, port
        Where to listen.
    trouble
        Says why the keeper does nothing; empty while it is at work.
    remark
        Says what an operator should know though it is at work; empty where nothing is.
    """
    server = HTTPServer(Application([("/metrics", MetricsHandler), ("/health", HealthHandler, {"trouble": trouble, "remark": remark})]))
    try:
        server.listen(port, host)
    except OSError as error:
        _LOG.warning("No metrics on port %s: %s. Choose another with --keeper-port", port, error.strerror)
    return server
