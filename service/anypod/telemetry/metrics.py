"""What a replica counts, and its text for Prometheus.

Owns the names, meanings and labels of all metrics. Must not know who counts. A hot path pays one integer addition; everything
else happens when somebody scrapes. No label ever holds a tenant, a session or a subject: their number has no bound.
To add a metric is to add one line to `Metrics`, or to `GAUGES`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from anypod.core.cursor import Reason
from anypod.core.errors import CODES

Attach = Literal["created", "restored", "reset"]

LATENCY_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PREFIX: Final = "anypod_"

GAUGES: Final = {
    "connections": "Subscribers attached to this replica, over all transports.",
    "sessions": "Sessions with at least one subscriber on this replica.",
    "tail_bytes": "Bytes of recent events kept for replays.",
}


class Histogram:
    """How long something took, in seconds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCY_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> Iterator[tuple[str, float]]:
        total = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


def _meaning(meaning: str, *, label: str | None = None) -> dict[str, str | None]:
    return {"meaning": meaning, "label": label}


def _zeros(values: Iterable[str]) -> Callable[[], dict[str, int]]:
    """One counter a value. To count under a value that is not among them is a KeyError: our bug, and no way to grow."""
    names = tuple(values)
    return lambda: dict.fromkeys(names, 0)


@dataclass(slots=True, eq=False)
class Metrics:
    events_appended: int = field(default=0, metadata=_meaning("Events that the log accepted from this replica."))
    events_delivered: int = field(default=0, metadata=_meaning("Events handed to subscribers, one for each of them."))
    frames_in: int = field(default=0, metadata=_meaning("Frames received from clients."))
    frames_out: int = field(default=0, metadata=_meaning("Frames handed to clients."))
    attaches: dict[str, int] = field(
        default_factory=_zeros(get_args(Attach)), metadata=_meaning("Subscribers attached, by how they began.", label="kind")
    )
    resets: dict[str, int] = field(
        default_factory=_zeros(get_args(Reason)), metadata=_meaning("Cursors that could not be honoured, by reason.", label="reason")
    )
    replays: int = field(default=0, metadata=_meaning("Replays served to subscribers."))
    replay_events: int = field(default=0, metadata=_meaning("Events sent by replays."))
    tail_hits: int = field(default=0, metadata=_meaning("Replays served from the tail cache."))
    tail_misses: int = field(default=0, metadata=_meaning("Replays that had to read the log."))
    gaps: int = field(default=0, metadata=_meaning("Jumps in seq on the feed, each answered by reading the range."))
    barriers: int = field(
        default=0, metadata=_meaning("Interruptions of the feed, each answered by re-checking the heads of its sessions.")
    )
    outbox_overflows: int = field(default=0, metadata=_meaning("Subscribers that fell behind their outbox and went on from the log."))
    slow_consumers_closed: int = field(default=0, metadata=_meaning("Subscribers closed because they stayed unwritable."))
    errors: dict[str, int] = field(default_factory=_zeros(CODES), metadata=_meaning("Errors told to clients, by code.", label="code"))
    store_reconnects: int = field(default=0, metadata=_meaning("Connections to the store that had to be made again."))
    append_retries: int = field(default=0, metadata=_meaning("Appends sent again because their reply was lost."))
    signals: int = field(default=0, metadata=_meaning("Signals sent by clients."))
    publishes_refused: int = field(default=0, metadata=_meaning("Publishes answered with an error."))
    append_seconds: Histogram = field(default_factory=Histogram, metadata=_meaning("From an append's call to its receipt."))
    recovery_seconds: Histogram = field(
        default_factory=Histogram, metadata=_meaning("From a subscriber's arrival with a cursor to its sync.done.")
    )
    gauges: dict[str, Callable[[], float]] = field(default_factory=dict, repr=False)

    def watch(self, gauge: str, read: Callable[[], float]) -> None:
        """Ask `read` for the gauge at every scrape."""
        assert gauge in GAUGES, f"{gauge} is not in GAUGES"
        self.gauges[gauge] = read

    def exposition(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Scrape(self))
        ProcessCollector(registry=registry)
        return generate_latest(registry)


class MetricRow(NamedTuple):
    """One metric as the reference lists it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    label: str | None
    meaning: str


def metric_rows() -> Sequence[MetricRow]:
    """All metrics there are, in the order of the text."""
    rows = [_row(item.name, item.default_factory, item.metadata) for item in fields(Metrics) if "meaning" in item.metadata]
    return [*rows, *(MetricRow(PREFIX + name, "gauge", None, meaning) for name, meaning in GAUGES.items())]


def _row(name: str, factory: object, metadata: Any) -> MetricRow:
    if factory is Histogram:
        return MetricRow(PREFIX + name, "histogram", None, metadata["meaning"])
    return MetricRow(f"{PREFIX}{name}_total", "counter", metadata["label"], metadata["meaning"])


class _Scrape(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for row in metric_rows():
            attribute = row.name.removeprefix(PREFIX)
            match row.type:
                case "counter":
                    yield self._counter(row, getattr(self._metrics, attribute.removesuffix("_total")))
                case "histogram":
                    histogram: Histogram = getattr(self._metrics, attribute)
                    yield HistogramMetricFamily(row.name, row.meaning, buckets=list(histogram.cumulative()), sum_value=histogram.sum)
                case "gauge":
                    if read := self._metrics.gauges.get(attribute):
                        yield GaugeMetricFamily(row.name, row.meaning, value=read())

    def _counter(self, row: MetricRow, value: int | dict[str, int]) -> Metric:
        if isinstance(value, int):
            return CounterMetricFamily(row.name, row.meaning, value=value)
        family = CounterMetricFamily(row.name, row.meaning, labels=[row.label or ""])
        for name, count in value.items():
            family.add_metric([name], count)
        return family
