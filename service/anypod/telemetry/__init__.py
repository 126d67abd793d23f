"""What a replica tells about itself: numbers for machines, lines for people."""

from anypod.telemetry.histogram import Histogram
from anypod.telemetry.lines import configure_logging
from anypod.telemetry.metrics import GAUGES, Arrival, GivenUp, Leaving, Metrics, metric_rows
from anypod.telemetry.row import MetricRow

__all__ = ["GAUGES", "Arrival", "GivenUp", "Histogram", "Leaving", "MetricRow", "Metrics", "configure_logging", "metric_rows"]
