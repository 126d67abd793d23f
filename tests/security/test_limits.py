"""The table of limits in `service/docs/security.md` holds: each default is the setting's, and each limit is measured, set to a few."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from pydantic import SecretStr
from tests.unit.hub.kit import KEY, TestReplica, publish, replicas, until, who

from anypod.core.errors import AnypodError
from anypod.core.event import Details, author_json, draft
from anypod.core.identity import SessionId, SessionKey, Subject
from anypod.hub.admission import WAIT_S_MAX
from anypod.hub.publisher import Publication
from anypod.replica import hub_options
from anypod.settings import Settings
from anypod.store import SUBJECT_DELETIONS_MAX, TENANT_DELETIONS_MAX, Creation

SECURITY: Final = Path(__file__).parents[2] / "service/docs/security.md"
UNITS: Final = {"": 1, "MiB": 1 << 20, "GiB": 1 << 30}
SECRET: Final = SecretStr("a-secret-of-the-tests-which-is-long-enough")
MANY: Final = 200
AUTHOR: Final = author_json(Subject("ann"))


class Row(NamedTuple):
    of: str
    what: str
    default: int
    setting: str


def rows() -> list[Row]:
    table = SECURITY.read_text().partition("<!-- limits -->")[2].partition("<!-- end -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| a ")]
    return [Row(of, what, _number(default), setting.strip("`").removeprefix("ANYPOD_").lower()) for of, what, default, setting, _ in lines]


def _number(text: str) -> int:
    found = re.fullmatch(r"([\d,]+) ?(MiB|GiB|)", text)
    assert found is not None, text
    return int(found[1].replace(",", "")) * UNITS[found[2]]


async def count(one: Callable[[int], Awaitable[object]]) -> int:
    """How many there are before the first refusal."""
    for number in range(MANY):
        try:
            await one(number)
        except AnypodError:
            return number
    return MANY


async def published(here: TestReplica, subjects: int, each: int) -> int:
    ports = []
    for number in range(subjects):
        peer, port = await here.attached(f"s{number}")
        for event in range(each):
            peer.receive(publish(f"e{number}.{event}"))
        ports.append(port)
    await until(lambda: sum(len(port.of("published")) + len(port.of("error")) for port in ports) == subjects * each)
    return sum(len(port.of("published")) for port in ports)


async def read(here: TestReplica, subjects: int) -> int:
    accounts = [here.hub.accounts.of(who(f"s{number}")) for number in range(subjects)]

    async def one(number: int) -> None:
        here.hub.accounts.check_reading(accounts[number % subjects])
        here.hub.accounts.read(accounts[number % subjects], 1)

    return await count(one) - 1  # the last one was owed


async def connected(here: TestReplica, subjects: int) -> int:
    async def one(number: int) -> None:
        here.hub.accounts.check_room(here.hub.accounts.of(who(f"s{number % subjects}")))
        here.peer(f"s{number % subjects}")

    return await count(one)


async def welcomed(here: TestReplica, subjects: int) -> int:
    async def one(number: int) -> None:
        here.attachments.admission.check(here.hub.accounts.of(who(f"s{number % subjects}")))

    return await count(one)


async def told(here: TestReplica) -> int:
    """Within a second and a half, the first at once."""
    heard: list[str] = []
    for _ in range(MANY):
        here.attachments.admission.refuse(lambda: heard.append("told"), lambda: heard.append("cut"))
    for _ in range(2 * MANY):
        here.clock.move(WAIT_S_MAX / MANY)
        await until(lambda: True)
    await until(lambda: len(heard) == MANY)
    return int((heard.count("told") - 1) / WAIT_S_MAX)


async def asked_about(here: TestReplica) -> int:
    async def one(_: int) -> None:
        here.attachments.admission.wait_s("unknown")

    return int((await count(one) - 1) / WAIT_S_MAX)


async def stored(here: TestReplica, owners: int, *, sessions: int = 1, part: str | None = None) -> tuple[int, int]:
    """Events and bytes that were taken."""
    made = Creation(KEY, Subject("ann"), here.hub.options.classes["chat"], "epoch001", 100)
    keys = []
    for number in range(owners * sessions):
        key = SessionKey(KEY.tenant, SessionId(f"k{number}"))
        await here.store.create(Creation(key, Subject(f"ann-{number % owners}"), made.session_class, "epoch001", 100))
        keys.append(key)
    size = 0

    async def one(number: int) -> None:
        nonlocal size
        details = Details(part=part) if part else Details()
        event = draft(f"e{number}", "token" if part else "message", b'"%b"' % (b"x" * 800), author=AUTHOR, ts_ms=1, details=details)
        await here.publisher.append(Publication(keys[number % len(keys)], (event,)))
        size += event.size
        await until(lambda: not len(here.hub.tasks))

    return await count(one), size


async def created(here: TestReplica) -> int:
    async def one(number: int) -> None:
        key = SessionKey(KEY.tenant, SessionId(f"k{number}"))
        await here.attachments.factory.create(who("ann"), key)

    return await count(one)


# Set to `limit`, how much there is of it.
async def _bytes(here: TestReplica, owners: int, sessions: int, limit: int) -> int:
    """The limit itself, where what was taken is at most an event less or more."""
    _, size = await stored(here, owners, sessions=sessions)
    return limit if abs(size - limit) <= 2_500 else size


MEASURES: Final[dict[str, tuple[int, Callable[[TestReplica, int], Awaitable[int]]]]] = {
    "publish_per_s": (5, lambda here, _: _half(published(here, 1, 30))),
    "subject_permits_per_s": (20, lambda here, _: published(here, 1, 30)),
    "tenant_permits_per_s": (20, lambda here, _: published(here, 6, 5)),
    "subject_read_bytes_per_s": (50, lambda here, _: read(here, 1)),
    "tenant_read_bytes_per_s": (50, lambda here, _: read(here, 5)),
    "subject_connections_max": (7, lambda here, _: connected(here, 1)),
    "tenant_connections_max": (7, lambda here, _: connected(here, 3)),
    "connections_max": (7, lambda here, _: connected(here, 3)),
    "subject_attaches_per_s": (7, lambda here, _: _half(welcomed(here, 1))),
    "tenant_attaches_per_s": (7, lambda here, _: welcomed(here, 3)),
    "refused_per_s": (20, lambda here, _: told(here)),
    "unknown_per_s": (20, lambda here, _: asked_about(here)),
    "bytes_per_session_max": (20_000, lambda here, limit: _bytes(here, 1, 1, limit)),
    "bytes_per_subject_max": (20_000, lambda here, limit: _bytes(here, 1, 3, limit)),
    "bytes_per_tenant_max": (20_000, lambda here, limit: _bytes(here, 3, 1, limit)),
    "events_per_session_max": (9, lambda here, _: _events(stored(here, 1))),
    "deltas_per_session_max": (9, lambda here, _: _events(stored(here, 1, part="p"))),
    "sessions_per_subject_max": (6, lambda here, _: created(here)),
}


async def _half(measured: Awaitable[int]) -> int:
    """Of what holds twice as much as it gains in a second."""
    return await measured // 2


async def _events(measured: Awaitable[tuple[int, int]]) -> int:
    return (await measured)[0]


def test_the_defaults_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    assert {row.setting: row.default for row in rows() if row.setting} == {
        row.setting: fields[row.setting].default for row in rows() if row.setting
    }
    deletions = [row.default for row in rows() if "deletions" in row.what]
    assert deletions == [SUBJECT_DELETIONS_MAX, TENANT_DELETIONS_MAX]


def test_every_row_with_a_setting_is_measured() -> None:
    assert {row.setting for row in rows() if row.setting} == MEASURES.keys()


@pytest.mark.parametrize("name", MEASURES)
async def test_a_limit_is_what_its_setting_says(name: str) -> None:
    limit, measure = MEASURES[name]
    options = hub_options(Settings.model_validate({"jwt_secret": SECRET, "store": "memory", name: limit}))
    given = {field: getattr(options, field) for field in ("classes", "sessions_per_subject_max", "limits", "arrivals", "allowances")}
    async with replicas(**given) as (_, _, (here,)):
        assert await measure(here, limit) == limit
