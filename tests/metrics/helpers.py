"""Metrics over made-up statuses, parsed as Prometheus parses them."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dash_app.metrics.exposition import Exposition
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from tests.factories import NOW

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def registry_over(*databases: DatabaseStatus, max_tables: int = 200) -> CollectorRegistry:
    """Return a registry over a snapshot, or over none if no database is given."""
    snapshot = Snapshot(NOW, databases) if databases else None
    registry = CollectorRegistry()
    registry.register(Exposition(lambda: snapshot, max_tables))
    return registry


def parsed(text: str) -> Samples:
    """Return the samples by name and labels; each may occur only once."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def exposed(*databases: DatabaseStatus, max_tables: int = 200) -> Samples:
    return parsed(generate_latest(registry_over(*databases, max_tables=max_tables)).decode())


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"mission_control_{name}", tuple(sorted(labels.items()))))
