import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import anypod
from anypod.core.errors import CODES
from anypod.telemetry import GAUGES, Histogram, Metrics, configure_logging, metric_rows
from anypod.telemetry.lines import LINE_CHARS_MAX
from anypod.telemetry.metrics import PREFIX


def samples(metrics: Metrics) -> dict[str, float]:
    """Name and labels of each sample, as Prometheus would read them."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name + "".join(sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_a_counter_is_an_attribute_to_add_to() -> None:
    metrics = Metrics()
    metrics.events_delivered += 7
    assert samples(metrics)["anypod_events_delivered_total"] == 7


def test_a_counter_with_a_label_has_one_value_a_row_of_its_table() -> None:
    metrics = Metrics()
    metrics.errors["stale"] += 2
    metrics.resets["rolled_back"] += 1
    metrics.attaches["restored"] += 3
    shown = samples(metrics)
    assert shown["anypod_errors_totalstale"] == 2
    assert shown["anypod_resets_totalrolled_back"] == 1
    assert shown["anypod_attaches_totalrestored"] == 3
    assert all(f"anypod_errors_total{code}" in shown for code in CODES)


def test_a_label_cannot_grow() -> None:
    with pytest.raises(KeyError):
        Metrics().errors["acme/alice"] += 1
    with pytest.raises(AttributeError):
        Metrics().no_such_metric = 1  # type: ignore[attr-defined]


def test_a_gauge_is_asked_for_at_every_scrape() -> None:
    metrics, connections = Metrics(), list[int]()
    metrics.watch("connections", lambda: len(connections))
    assert samples(metrics)["anypod_connections"] == 0
    connections.append(1)
    assert samples(metrics)["anypod_connections"] == 1
    with pytest.raises(AssertionError):
        metrics.watch("no_such_gauge", lambda: 0)


def test_a_histogram_counts_each_observation_in_its_bucket_and_all_above() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.0006, 3.0, 99.0):
        metrics.append_seconds.observe(seconds)
    shown = samples(metrics)
    assert shown["anypod_append_seconds_bucket0.0005"] == 1, "a bound belongs to its bucket"
    assert shown["anypod_append_seconds_bucket0.001"] == 2
    assert shown["anypod_append_seconds_bucket10.0"] == 3
    assert shown["anypod_append_seconds_bucket+Inf"] == shown["anypod_append_seconds_count"] == 4
    assert shown["anypod_append_seconds_sum"] == pytest.approx(102.0011)


@given(st.lists(st.floats(0, 20)))
def test_the_buckets_of_a_histogram_add_up(observations: list[float]) -> None:
    histogram = Histogram()
    for seconds in observations:
        histogram.observe(seconds)
    for bound, count in histogram.cumulative():
        assert count == sum(seconds <= float(bound) for seconds in observations)


def test_two_replicas_in_one_process_do_not_share_a_number() -> None:
    one, other = Metrics(), Metrics()
    one.frames_in += 1
    one.errors["stale"] += 1
    one.append_seconds.observe(1)
    assert all(value == 0 for name, value in samples(other).items() if name.startswith("anypod_"))


def test_the_table_names_exactly_what_a_scrape_shows() -> None:
    metrics = Metrics()
    for gauge in GAUGES:
        metrics.watch(gauge, lambda: 1)
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    shown = {(family.name, family.type, family.documentation) for family in families if family.name.startswith("anypod_")}
    assert shown == {(row.name.removesuffix("_total"), row.type, row.meaning) for row in metric_rows()}
    assert {family.name for family in families} >= {"process_cpu_seconds", "process_resident_memory_bytes"}


def test_somebody_counts_every_metric_and_reads_every_gauge() -> None:
    package = Path(anypod.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py") if path.parent.name != "telemetry")
    names = [row.name.removeprefix(PREFIX).removesuffix("_total") for row in metric_rows()]
    assert [name for name in names if not re.search(rf'metrics\.{name}\b|watch\("{name}"', text)] == []


def test_no_metric_is_labelled_by_who_somebody_is() -> None:
    assert {row.label for row in metric_rows()} <= {None, "kind", "reason", "code"}
    assert all(re.fullmatch(r"anypod_[a-z_]+", row.name) and row.meaning.endswith(".") for row in metric_rows())


@contextmanager
def logging_set_up(form: str, level: str = "INFO") -> Iterator[io.StringIO]:
    """What is written meanwhile; the root logger is given back as it was."""
    root = logging.getLogger()
    handlers, level_before = root.handlers[:], root.level
    root.handlers.clear()
    stream = io.StringIO()
    configure_logging(level, form, stream=stream)  # type: ignore[arg-type]
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level_before)


def written(form: str, message: str, *args: object, **extra: object) -> str:
    with logging_set_up(form) as stream:
        logging.getLogger("anypod.test").warning(message, *args, extra=extra)
    return stream.getvalue()


def test_a_json_line_holds_time_level_logger_message_and_what_was_given_beside() -> None:
    line = json.loads(written("json", "replica %s drains", "r1", subscribers=3))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {"level": "WARNING", "logger": "anypod.test", "message": "replica r1 drains", "subscribers": "3"}


def test_a_text_line_holds_the_same_for_people() -> None:
    assert re.fullmatch(
        r"\S+ WARNING anypod\.test: replica r1 drains subscribers=3\n", written("text", "replica %s drains", "r1", subscribers=3)
    )


def test_lines_below_the_level_are_not_written_and_libraries_use_the_same_form() -> None:
    with logging_set_up("json", "WARNING") as stream:
        logging.getLogger("anypod.test").info("unimportant")
        logging.getLogger("some.library").error("important")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["important"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_nobody_forges_a_line_or_writes_to_the_terminal(form: str) -> None:
    evil = 'x\n2030-01-01 ERROR anypod: forged\r\x1b[2J\u2028\x85\x9b0m\x00\x7f\u202e"'
    line = written(form, "subject %s", evil, device=evil)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_stands_in_the_line_of_its_record(form: str) -> None:
    with logging_set_up(form) as stream:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("anypod.test").exception("a task failed")
    assert stream.getvalue().count("\n") == 1
    assert "Traceback" in stream.getvalue()
    assert "ValueError: two" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_looks_like_a_credential_is_masked_wherever_it_stands(form: str) -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_x"
    ticket = "0123456789abcdef0123456789abcdef01234567"
    line = written(form, "bearer.%s or ticket.%s to redis://user:hunter2@cache:6379", jwt, ticket, header=f"Ticket {ticket}, Bearer {jwt}")
    assert "eyJ" not in line
    assert "hunter2" not in line
    assert ticket not in line
    assert line.count("***") == 5
    assert "@cache:6379" in line


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_has_an_end(form: str) -> None:
    line = written(form, "subject %s", "x" * 100_000)
    assert LINE_CHARS_MAX < len(line) < LINE_CHARS_MAX + 300


@given(text=st.text(), form=st.sampled_from(["json", "text"]))
def test_any_text_becomes_one_printable_line(text: str, form: str) -> None:
    line = written(form, "%s", text)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    if form == "json":
        assert json.loads(line)["message"] == text
