"""One metric as the reference lists it.

Owns what is told of a metric beside its value. Must not know which metrics there are.
"""

from typing import Literal, NamedTuple

from anypod.telemetry.histogram import Histogram

Value = float | dict[str, int] | Histogram | None  # of each value of the label where there is one; None: no part of the replica reports it


class MetricRow(NamedTuple):
    name: str
    type: Literal["counter", "gauge", "histogram"]
    label: str | None
    meaning: str
