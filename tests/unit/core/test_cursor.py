"""The judgement of cursors, first case by case, then against every history that failovers can make."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.cursor import CURSOR_CHARS_MAX, Cursor, Facts, Reset, Resume, Term, judge, parse_after

EPOCH = "abcd1234"
ONE, TWO, THREE = "1aaaaaa", "2bbbbbb", "3cccccc"


def cursor(seq: int, term: str = ONE, tag: int = 0, epoch: str = EPOCH) -> Cursor:
    return Cursor(epoch, term, seq, tag or 1_000_000_000 + seq)


def facts(head: int, *terms: tuple[str, int], oldest: int = 1, folded: int = 0, tag_at: int | None = None) -> Facts:
    table = tuple(Term(name, first) for name, first in terms or [(ONE, 1)])
    last = [term for term in table if term.first_seq <= max(head, 1)][-1]
    return Facts(cursor(head, last.name), oldest, folded, table, tag_at)


def test_a_cursor_is_written_and_read_back() -> None:
    text = str(cursor(57))
    assert text == "abcd1234-1aaaaaa-57-1000000057"
    assert Cursor.parse(text) == cursor(57)
    assert parse_after(text) == cursor(57)


@given(
    st.builds(
        Cursor,
        st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True),
        st.from_regex(r"[0-9]{1,6}[0-9a-f]{6}", fullmatch=True),
        st.integers(0, 10**16 - 1),
        st.integers(0, 2**32 - 1),
    )
)
def test_every_cursor_survives_its_text(item: Cursor) -> None:
    assert Cursor.parse(str(item)) == item
    assert len(str(item)) <= CURSOR_CHARS_MAX


@pytest.mark.parametrize(
    "text",
    ["", "0", "start ", "a-1aaaaaa-1", "a-1aaaaaa-1-2-3", "a-1aaaaaa--1-2", "A-1aaaaaa-1-2", "a-1AAAAAA-1-2", "a-1aaaaaa-١-2", "a" * 99],
)
def test_what_nobody_of_ours_wrote_is_unknown(text: str) -> None:
    assert parse_after(text) == "unknown"
    assert judge(parse_after(text), facts(5)) == Reset("unknown")


@given(st.text(max_size=100))
def test_any_text_is_read_without_an_error(text: str) -> None:
    after = parse_after(text)
    assert after in ("start", "tail", "unknown") or isinstance(after, Cursor)


def test_the_sentinels_resume_at_the_oldest_event_and_at_the_head() -> None:
    assert judge("start", facts(9, oldest=4)) == Resume(3)
    assert judge("tail", facts(9, oldest=4)) == Resume(9)


@pytest.mark.parametrize(
    ("after", "log", "expected"),
    [
        (cursor(3), facts(9, tag_at=1_000_000_003), Resume(3)),
        (cursor(3), facts(9, tag_at=None), Resume(3)),  # folded or trimmed since: its term vouches for it
        (cursor(0), facts(9, (ONE, 1), (TWO, 1)), Resume(0)),  # the beginning is everybody's
        (cursor(3, epoch="other"), facts(9), Reset("expired")),
        (cursor(3, tag=7), facts(9, tag_at=1_000_000_003), Reset("rolled_back")),  # another log's, or a restored backup's
        (cursor(2), facts(9, oldest=4), Reset("trimmed")),
        (cursor(3), facts(9, oldest=4), Resume(3)),  # everything after it is there
        (cursor(9), facts(6), Reset("rolled_back", 6)),  # beyond the head, no new term yet
        (cursor(9), facts(6, (ONE, 1), (TWO, 7)), Reset("rolled_back", 6)),  # nor after it was read of
        (cursor(9), facts(12, (ONE, 1), (TWO, 7)), Reset("rolled_back", 6)),  # other events stand there now
        (cursor(6), facts(12, (ONE, 1), (TWO, 7)), Resume(6)),
        (cursor(8, TWO), facts(12, (ONE, 1), (TWO, 7)), Resume(8)),
        (cursor(8, TWO), facts(12, (ONE, 1), (THREE, 5)), Reset("rolled_back", 4)),  # a whole term was lost: the first one's end is sure
        (cursor(3, TWO), facts(12, (ONE, 1), (THREE, 5)), Reset("rolled_back", 3)),
        (cursor(9), facts(12, (ONE, 1), (TWO, 3), oldest=6), Reset("rolled_back")),  # nothing of what is shared is left
        (cursor(9), facts(0), Reset("rolled_back")),
    ],
)
def test_a_cursor_is_judged_by_what_the_log_says_of_itself(after: Cursor, log: Facts, expected: Resume | Reset) -> None:
    assert judge(after, log) == expected


@dataclass
class World:
    """A log that fails over: the reference for what a prefix is. `held` has each client's cursor and the history behind it."""

    log: list[Cursor] = field(default_factory=list)
    terms: list[Term] = field(default_factory=lambda: [Term("1000001", 1)])
    tags: int = 1_000_000_000
    incarnations: int = 1
    held: list[list[Cursor]] = field(default_factory=list)

    def append(self) -> None:
        name = f"{self.terms[-1].number:d}"
        incarnation = f"{self.incarnations:06x}"
        if not self.terms[-1].name.endswith(incarnation):
            self.terms.append(Term(f"{int(name) + 1}{incarnation}", len(self.log) + 1))
        self.tags += 1
        self.log.append(Cursor(EPOCH, self.terms[-1].name, len(self.log) + 1, self.tags))

    def fail_over(self, lost: int) -> None:
        del self.log[len(self.log) - min(lost, len(self.log)) :]
        self.terms = [term for term in self.terms if term.first_seq <= len(self.log) or term is self.terms[0]]
        self.incarnations += 1

    def facts(self, after: Cursor, *, is_folded: bool) -> Facts:
        terms = list(self.terms)
        if not terms[-1].name.endswith(f"{self.incarnations:06x}"):
            terms.append(Term(f"{terms[-1].number + 1}{self.incarnations:06x}", len(self.log) + 1))
        kept = 0 < after.seq <= len(self.log) and not is_folded
        head = self.log[-1] if self.log else Cursor(EPOCH, self.terms[0].name, 0, 0)
        return Facts(head, 1, 0, tuple(terms), self.log[after.seq - 1].tag if kept else None)


deeds = st.lists(st.one_of(st.just("append"), st.just("append"), st.just("hold"), st.integers(0, 6)), max_size=60)


@given(deeds, st.booleans())
def test_a_prefix_always_resumes_and_anything_else_never_does(plan: list[str | int], is_folded: bool) -> None:
    world = World()
    for deed in plan:
        match deed:
            case "append":
                world.append()
            case "hold":
                world.held.append(list(world.log))
            case int():
                world.fail_over(deed)

    for history in world.held:
        if not history:
            continue
        after = history[-1]
        told = judge(after, world.facts(after, is_folded=is_folded))
        if history == world.log[: len(history)]:
            assert told == Resume(len(history))
        else:
            assert isinstance(told, Reset)
            assert told.reason == "rolled_back"
            common = told.common or 0
            assert history[:common] == world.log[:common], "what is called common is common"


@given(deeds)
def test_a_resumed_client_that_follows_the_log_holds_the_log(plan: list[str | int]) -> None:
    world, mine = World(), list[Cursor]()
    for deed in plan:
        match deed:
            case "append":
                world.append()
            case int():
                world.fail_over(deed)
            case _:
                after = mine[-1] if mine else cursor(0)
                told = judge(after, world.facts(after, is_folded=False))
                kept = told.seq if isinstance(told, Resume) else told.common or 0
                mine = mine[:kept] + world.log[kept:]
                assert mine == world.log
