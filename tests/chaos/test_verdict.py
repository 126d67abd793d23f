"""The verdict is believed because it finds what is planted into the history of a real run, each by its kind."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.chaos.campaign import Campaign, Plan
from tests.chaos.clients import Clients, Group
from tests.chaos.environment import stage_of
from tests.chaos.fault_catalogue import chosen
from tests.chaos.history import History
from tests.chaos.violations import Loss
from tests.simulation.history import Acknowledged, Applied, Attempted, Calmed, Disturbed, Fault, Logged, Record, ResetSeen, TailLost

SMALL = (
    Group("hall", 3, "websocket", True, 0.1),
    Group("hall", 3, "websocket", False, 0.1),
    Group("hall", 1, "sse", False, 0.1),
    Group("hall", 1, "poll", False, 0.1),
)
WHO = "c0-0"  # through the library
CALM = "c1-0"  # not: of it every frame is written down
Plant = Callable[[list[Record]], list[Record]]


class NoDisk:
    """What it would tell stands in the records already."""

    heads: dict[str, int] = {}  # noqa: RUF012 - nothing is ever written there

    def read(self) -> Iterator[Record]:
        return iter(())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """The history of some seconds in which Redis loses the tail of its file."""
    return asyncio.run(record(tmp_path_factory.mktemp("recorded")))


async def record(folder: Path) -> list[Record]:
    rows, _ = chosen("aof-tail-lost", "single")
    rng = random.Random(5)
    async with stage_of("single", folder, rng) as stage:
        crowd = Clients(stage.url_for, stage.ledger, rng, SMALL)
        campaign = Campaign(Plan(5, 3.0, rows, longest_s=0.2), stage, crowd, lambda line: None)
        await campaign.run()
        assert not stage.ledger.losses, stage.ledger.stories
        assert not campaign.complaints, campaign.complaints
        assert stage.ledger.lost_events, "the tail that was cut held events"
        return stage.ledger.records


async def test_an_error_that_a_replica_writes_and_no_row_allows_is_a_complaint(tmp_path: Path) -> None:
    rows, _ = chosen("clients-cut", "single")
    rng = random.Random(5)
    async with stage_of("single", tmp_path, rng) as stage:
        campaign = Campaign(Plan(5, 1.0, rows, longest_s=0.2), stage, Clients(stage.url_for, stage.ledger, rng, SMALL), lambda line: None)
        with (tmp_path / "logs" / f"{stage.replicas[0].name}.log").open("a") as log:
            log.write("2026-01-01 00:00:00 ERROR anypod.hub planted\nTraceback (most recent call last):\n")
        await campaign.run()
    assert [complaint for complaint in campaign.complaints if "wrote 2 lines of errors" in complaint and "planted" in complaint]


def verdict(records: list[Record]) -> Counter[Loss]:
    ledger = History(NoDisk(), lambda: 0.0)
    for record in records:
        ledger.note(record)
    ledger.settle()
    return ledger.losses


def of(records: Sequence[Record], client: str, kind: type[Record]) -> list[int]:
    """Where the records of this kind stand."""
    return [index for index, record in enumerate(records) if isinstance(record, kind) and getattr(record, "client", None) == client]


def without(records: list[Record], gone: set[int]) -> list[Record]:
    return [record for index, record in enumerate(records) if index not in gone]


def the_first_events_never_come(records: list[Record]) -> list[Record]:
    return without(records, set(of(records, WHO, Applied)[:3]))


def an_event_in_the_middle_never_comes(records: list[Record]) -> list[Record]:
    return without(records, {of(records, WHO, Applied)[5]})


def the_last_event_never_comes(records: list[Record]) -> list[Record]:
    return without(records, {of(records, WHO, Applied)[-1]})


def an_event_comes_twice(records: list[Record]) -> list[Record]:
    at = of(records, WHO, Applied)[5]
    return [*records[: at + 1], records[at], *records[at + 1 :]]


def two_events_change_places(records: list[Record]) -> list[Record]:
    first, second = of(records, WHO, Applied)[5:7]
    changed = list(records)
    changed[first], changed[second] = records[second], records[first]
    return changed


def a_reset_is_hidden(records: list[Record]) -> list[Record]:
    return without(records, {_reset_of_something(records)})


def a_reset_takes_back_more_than_was_lost(records: list[Record]) -> list[Record]:
    at = _reset_of_something(records)
    reset = records[at]
    assert isinstance(reset, ResetSeen)
    lost = next(record for record in records if isinstance(record, TailLost))
    cursor = next(_cursor(record) for record in records if isinstance(record, Logged) and _seq(record) == lost.head - 1)
    return [*records[:at], reset._replace(common=cursor), *records[at + 1 :]]


def a_reset_comes_for_no_reason(records: list[Record]) -> list[Record]:
    at = of(records, WHO, Applied)[5]
    applied = records[at]
    assert isinstance(applied, Applied)
    reset = ResetSeen(applied.at, applied.session, WHO, "rolled_back", _cursor(applied))
    return [*records[: at + 1], reset, *records[at + 1 :]]


def an_event_comes_with_other_bytes(records: list[Record]) -> list[Record]:
    at = of(records, WHO, Applied)[5]
    applied = records[at]
    assert isinstance(applied, Applied)
    return [*records[:at], applied._replace(frame=applied.frame.replace(b'"n":', b'"n":9')), *records[at + 1 :]]


def a_publish_is_acknowledged_where_the_log_has_another(records: list[Record]) -> list[Record]:
    at, other = of(records, WHO, Acknowledged)[:2]
    first, second = records[at], records[other]
    assert isinstance(first, Acknowledged)
    assert isinstance(second, Acknowledged)
    return [*records[:at], first._replace(seq=second.seq, cursor=second.cursor), *records[at + 1 :]]


def a_publish_is_acknowledged_with_another_body(records: list[Record]) -> list[Record]:
    at = of(records, WHO, Acknowledged)[0]
    acknowledged = records[at]
    assert isinstance(acknowledged, Acknowledged)
    return [*records[:at], acknowledged._replace(content="message 'other' />"), *records[at + 1 :]]


def an_event_comes_late_though_all_is_calm(records: list[Record]) -> list[Record]:
    calm: list[Record] = [record for record in records if not isinstance(record, Disturbed | Calmed | Fault)]
    at = of(calm, CALM, Applied)[-1]
    applied = calm[at]
    assert isinstance(applied, Applied)
    return [*calm[:at], applied._replace(at=applied.at + 60.0), *calm[at + 1 :]]


PLANTS: list[tuple[Plant, Loss]] = [
    (the_first_events_never_come, "lost prefix"),
    (an_event_in_the_middle_never_comes, "lost middle"),
    (the_last_event_never_comes, "lost tail"),
    (an_event_comes_twice, "duplicated"),
    (two_events_change_places, "reordered"),
    (a_reset_is_hidden, "silent gap"),
    (a_reset_takes_back_more_than_was_lost, "conflicting common"),
    (a_reset_comes_for_no_reason, "unjust reset"),
    (an_event_comes_with_other_bytes, "foreign bytes"),
    (a_publish_is_acknowledged_where_the_log_has_another, "broken acknowledgement"),
    (a_publish_is_acknowledged_with_another_body, "broken idempotency"),
    (an_event_comes_late_though_all_is_calm, "late"),
]


def test_the_history_as_it_was_is_clean(recorded: list[Record]) -> None:
    assert verdict(recorded) == Counter()
    assert sum(isinstance(record, Attempted) for record in recorded) > 50


@pytest.mark.parametrize(("plant", "loss"), PLANTS, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_planted_is_found_by_its_kind(recorded: list[Record], plant: Plant, loss: Loss) -> None:
    assert verdict(plant(recorded))[loss], verdict(plant(recorded))


def _reset_of_something(records: list[Record]) -> int:
    """The reset of a client that had applied what was lost."""
    at, lost = next((index, record) for index, record in enumerate(records) if isinstance(record, TailLost))
    held = {record.client for record in records[:at] if isinstance(record, Applied) and _seq(record) > lost.head}
    return next(index for index, record in enumerate(records) if isinstance(record, ResetSeen) and record.client in held)


def _seq(record: Logged | Applied) -> int:
    return int(_cursor(record).split("-")[2])


def _cursor(record: Logged | Applied) -> str:
    return record.frame.split(b'"cursor":"')[1].split(b'"')[0].decode()
