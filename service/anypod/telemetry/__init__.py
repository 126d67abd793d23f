"""What a replica tells about itself: numbers for machines, lines for people."""

from anypod.telemetry.lines import set_up_logging
from anypod.telemetry.metrics import GAUGES, Histogram, MetricRow, Metrics, metric_rows

__all__ = ["GAUGES", "Histogram", "MetricRow", "Metrics", "set_up_logging", "metric_rows"]
