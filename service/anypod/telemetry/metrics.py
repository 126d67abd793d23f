"""What a replica counts.

Owns the names, meanings and labels of all metrics. Must not know where they are counted, nor the form of a scrape. A hot path pays one
integer addition; everything else happens at a scrape. No label ever holds a tenant, a session or a subject: their number has no bound.
To add a metric is to add one line to `Metrics`, or to `GAUGES`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from anypod.core.cursor import Reason
from anypod.core.errors import CODES
from anypod.core.notices import Skipped
from anypod.telemetry.histogram import Histogram
from anypod.telemetry.row import MetricRow, Value

Arrival = Literal["accept", "unknown", "resume", "fresh", "refused"]
Attach = Literal["created", "restored", "reset"]
GivenUp = Literal["slow", "crowded"]
Leaving = Literal["draining", "aged", "surplus"]

PREFIX: Final = "anypod_"

GAUGES: Final = {
    "admission_pace": "Share of its budgets of arrivals that this replica spends: below 1 its loop is late, or the store slow.",
    "arrivals_waiting": "Arrivals that hold a permit for a moment to come.",
    "connections": "Subscribers attached to this replica, over all transports.",
    "outbox_bytes": "Bytes that subscribers were sent and have not taken, of those that hold more than a little.",
    "replicas": "Replicas that serve, as this one last heard: all should tell the same number.",
    "sessions": "Sessions with at least one subscriber on this replica.",
    "presence_members": "Entries of presence that this replica keeps.",
    "stalled": "Subscribers that take nothing now: what is more than their outbox holds, they read from the log later.",
    "tail_bytes": "Bytes of recent events kept for replays.",
}


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
    attaches: dict[str, int] = field(
        default_factory=_zeros(get_args(Attach)), metadata=_meaning("Subscribers attached, by how they began.", label="kind")
    )
    resets: dict[str, int] = field(
        default_factory=_zeros(get_args(Reason)), metadata=_meaning("Cursors that could not be honoured, by reason.", label="reason")
    )
    arrivals_waited: dict[str, int] = field(
        default_factory=_zeros(get_args(Arrival)), metadata=_meaning("Arrivals that waited for a permit, by what for.", label="kind")
    )
    arrivals_refused: dict[str, int] = field(
        default_factory=_zeros(get_args(Arrival)),
        metadata=_meaning("Arrivals refused with a time to retry, because the permits of the next moments were taken.", label="kind"),
    )
    replays: int = field(default=0, metadata=_meaning("Replays served to subscribers."))
    replay_events: int = field(default=0, metadata=_meaning("Events sent by replays."))
    tail_hits: int = field(default=0, metadata=_meaning("Replays served from the tail cache."))
    tail_misses: int = field(default=0, metadata=_meaning("Replays that had to read the log."))
    gaps: int = field(default=0, metadata=_meaning("Jumps in seq on the feed, each answered by reading the range."))
    barriers: int = field(
        default=0, metadata=_meaning("Interruptions of the feed, each answered by re-checking the heads of its sessions.")
    )
    payloads_skipped: dict[str, int] = field(
        default_factory=_zeros(get_args(Skipped)),
        metadata=_meaning("What replicas wrote for each other and this one could not read, skipped alone, by what it was.", label="reason"),
    )
    outbox_overflows: int = field(default=0, metadata=_meaning("Subscribers that fell behind their outbox and went on from the log."))
    slow_consumers_closed: int = field(
        default=0, metadata=_meaning("Subscribers closed because they stayed unwritable, or held most when all held too much.")
    )
    connections_given_up: dict[str, int] = field(
        default_factory=_zeros(get_args(GivenUp)),
        metadata=_meaning("Connections ended with a request unfinished: it took too long, or too many were.", label="reason"),
    )
    sent_away: dict[str, int] = field(
        default_factory=_zeros(get_args(Leaving)),
        metadata=_meaning("Subscribers sent to another replica: this one drains, they are old, or it has too many.", label="reason"),
    )
    errors: dict[str, int] = field(default_factory=_zeros(CODES), metadata=_meaning("Errors told to clients, by code.", label="code"))
    store_reconnects: int = field(default=0, metadata=_meaning("Connections to the store that had to be made again."))
    append_retries: int = field(default=0, metadata=_meaning("Appends sent again because their reply was lost."))
    appends_unconfirmed: int = field(
        default=0, metadata=_meaning("Appends that are logged and were refused, because they were not as durable as they must be in time.")
    )
    presence_lives_ended: int = field(
        default=0, metadata=_meaning("Replicas found dead whose entries of presence were forgotten, once for each session.")
    )
    claims_uncertain: int = field(
        default=0, metadata=_meaning("Subscribers sent away because which attachment of their device is newest is unknown.")
    )
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
        from anypod.telemetry.exposition import text_of  # the first scrape waits for the import, and no start does

        return text_of((row, self._value(row)) for row in metric_rows())

    def _value(self, row: MetricRow) -> Value:
        attribute = row.name.removeprefix(PREFIX).removesuffix("_total")
        if row.type != "gauge":
            value: Value = getattr(self, attribute)
            return value
        read = self.gauges.get(attribute)
        return read() if read is not None else None


def metric_rows() -> Sequence[MetricRow]:
    """All metrics there are, in the order of the text."""
    rows = [_row(item.name, item.default_factory, item.metadata) for item in fields(Metrics) if "meaning" in item.metadata]
    return [*rows, *(MetricRow(PREFIX + name, "gauge", None, meaning) for name, meaning in GAUGES.items())]


def _row(name: str, factory: object, metadata: Any) -> MetricRow:
    if factory is Histogram:
        return MetricRow(PREFIX + name, "histogram", None, metadata["meaning"])
    return MetricRow(f"{PREFIX}{name}_total", "counter", metadata["label"], metadata["meaning"])
