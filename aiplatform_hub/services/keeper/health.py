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

    def initialize(self, trouble: Callable[[], str]) -> None:
        """Keep what says why it is not; empty while it is."""
        self._trouble = trouble

    def get(self) -> None:
        """Answer 200, or 503 with a sentence that says why it does nothing."""
        trouble = self._trouble()
        self.set_status(_UNAVAILABLE if trouble else 200)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(f"{trouble or 'The keeper is at work.'}\n")


def serve(host: str, port: int, trouble: Callable[[], str]) -> HTTPServer:
    """Listen. A port that is taken costs the metrics, not the ledger.

    Parameters
    ----------
    host, port
        Where to listen.
    trouble
        Says why the keeper does nothing; empty while it is at work.
    """
    server = HTTPServer(Application([("/metrics", MetricsHandler), ("/health", HealthHandler, {"trouble": trouble})]))
    try:
        server.listen(port, host)
    except OSError as error:
        _LOG.warning("No metrics on port %s: %s. Choose another with --keeper-port", port, error.strerror)
    return server
