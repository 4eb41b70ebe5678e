"""
Metrics for Prometheus, on a port of their own that the public never reaches.

The site counts its own requests by kind of page, never by path; all else is read from the database at each look, so
that one port tells of the site and of every worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from newsletter.app import App
from newsletter.config.settings import Metrics
from newsletter.measures import measure
from subscribers.errors import DatabaseUnavailable

PREFIX = "newsletter"
RETRY_SECONDS = 30.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

logger = logging.getLogger("newsletter.web")


class Requests:
    """What the site counts of its requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "kind", "status")
        self._seconds = Histogram(
            "http_request_seconds",
            "How long requests took, by kind of page and status.",
            labels,
            namespace=PREFIX,
            registry=registry,
            buckets=BUCKETS,
        )
        self._faults = Counter(
            "http_faults", "Requests that ended in a fault of ours.", namespace=PREFIX, registry=registry
        )

    def count(self, method: str, kind: str, status: int, seconds: float) -> None:
        self._seconds.labels(method, kind, str(status)).observe(seconds)
        if status >= 500:
            self._faults.inc()


class Work(Collector):
    """What the database says, each time that somebody looks."""

    def __init__(self, app: App) -> None:
        self._app = app

    def describe(self) -> list[Any]:
        return []  # so that nothing is read before the first look

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily(f"{PREFIX}_database_up", "1 while the database answers.", value=1)
        try:
            with self._app.database.read() as session:
                families = list(measure(session, self._app.now()))
        except DatabaseUnavailable:
            up = GaugeMetricFamily(f"{PREFIX}_database_up", "1 while the database answers.", value=0)
            families = []
        yield up
        for one in families:
            family = GaugeMetricFamily(f"{PREFIX}_{one.name}", one.meaning, labels=one.labels)
            for labels, value in one.values:
                family.add_metric(list(labels), value)
            yield family


def start_metrics(app: App, settings: Metrics) -> Requests | None:
    """
    Listen where the configuration says; return what the site counts into, None where it says nowhere.

    A port that another program has is told, and tried again: people who leave a list matter more than who measures it.
    """
    if not settings.port:
        return None
    registry = CollectorRegistry()
    requests = Requests(registry)
    registry.register(Work(app))
    if trouble := _trouble_listening(settings, registry):
        logger.error(
            "The metrics cannot listen on %s port %d: %s. The site runs without them and tries again. "
            "Choose another port: metrics.port; 0 switches them off.",
            settings.bind, settings.port, trouble,
        )  # fmt: skip
        threading.Thread(target=_keep_trying, args=(settings, registry), name="metrics", daemon=True).start()
    return requests


def _trouble_listening(settings: Metrics, registry: CollectorRegistry) -> str:
    try:
        start_http_server(settings.port, settings.bind, registry)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _keep_trying(settings: Metrics, registry: CollectorRegistry) -> None:
    while _trouble_listening(settings, registry):
        time.sleep(RETRY_SECONDS)
    logger.info("The metrics listen on %s port %d now.", settings.bind, settings.port)
