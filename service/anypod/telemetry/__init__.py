"""What a replica tells about itself: numbers for machines, lines for people."""

from anypod.telemetry.lines import configure_logging
from anypod.telemetry.metrics import GAUGES, Histogram, MetricRow, Metrics, metric_rows

__all__ = ["GAUGES", "Histogram", "MetricRow", "Metrics", "configure_logging", "metric_rows"]
