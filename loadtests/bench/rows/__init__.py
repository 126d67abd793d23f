"""The rows of the benchmark: what is measured of each, and the bar it has to reach."""

from collections.abc import Mapping
from typing import Final

from loadtests.bench.bench import Row
from loadtests.bench.rows import append, connect, crossing, fan_out, idle, publish, resume, streams

ROWS: Final[Mapping[str, Row]] = {
    row.name: row
    for row in (
        publish.SINGLE,
        publish.DEEP,
        fan_out.RATE,
        fan_out.LATENCY,
        resume.WARM,
        resume.COLD,
        connect.ACCEPT,
        idle.MEMORY,
        idle.HEARTBEATS,
        append.APPEND,
        crossing.CROSSING,
        streams.STREAMS,
    )
}

# Rows that the table of the bars has and that cannot be measured, with the reason.
ABSENT: Final[Mapping[str, str]] = {"tracing": "the product has no tracing yet"}
