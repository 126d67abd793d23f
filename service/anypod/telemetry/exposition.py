"""What a scrape gets: Prometheus' text.

Owns the form. Must not know what is counted.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from anypod.telemetry.histogram import Histogram
from anypod.telemetry.row import MetricRow, Value


def text_of(metrics: Iterable[tuple[MetricRow, Value]]) -> bytes:
    """Those that have a value, in their order, and what the process uses."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(_family(row, value) for row, value in metrics if value is not None))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _family(row: MetricRow, value: Value) -> Metric:
    match value:
        case Histogram():
            return HistogramMetricFamily(row.name, row.meaning, buckets=list(value.cumulative()), sum_value=value.sum)
        case dict():
            family = CounterMetricFamily(row.name, row.meaning, labels=[row.label or ""])
            for name, count in value.items():
                family.add_metric([name], count)
            return family
        case _ if row.type == "gauge":
            return GaugeMetricFamily(row.name, row.meaning, value=value)
        case _:
            return CounterMetricFamily(row.name, row.meaning, value=value)
