import pytest

from anypod.auth import Principal
from anypod.core.identity import SessionId, Subject, TenantId

ALICE = Subject("alice")


def principal(**fields: object) -> Principal:
    return Principal(TenantId("acme"), ALICE, 2e9, **fields)  # type: ignore[arg-type]


WORKER = principal(can=frozenset({"read", "publish", "turn"}))


@pytest.mark.parametrize("right", ["read", "publish", "signal", "cancel", "state"])
def test_a_client_has_these_rights_when_its_credential_names_none(right: str) -> None:
    assert principal().may(right)  # type: ignore[arg-type]


def test_turns_and_administration_are_never_permitted_by_default() -> None:
    assert not principal().may("turn")
    assert not principal().is_admin
    assert principal(can=frozenset({"admin"})).is_admin


@pytest.mark.parametrize("kind", ["message", "tool_result", "x.cursor_moved"])
def test_a_client_may_publish_the_kinds_of_clients(kind: str) -> None:
    assert principal().may_publish(kind)
    assert not principal(can=frozenset({"read"})).may_publish(kind), "without the right to publish nothing"


@pytest.mark.parametrize("kind", ["token", "reasoning", "tool_request", "turn_started", "turn_finished", "input_consumed"])
def test_what_an_agent_says_needs_the_right_turn_whatever_kinds_are_named(kind: str) -> None:
    assert not principal().may_publish(kind)
    assert not principal(kinds=("*", kind)).may_publish(kind)
    assert WORKER.may_publish(kind, has_turn=True)


def test_an_event_that_carries_a_turn_needs_the_right_turn_because_fences_can_be_guessed() -> None:
    assert principal().may_publish("message")
    assert not principal().may_publish("message", has_turn=True)
    assert WORKER.may_publish("message", has_turn=True)


@pytest.mark.parametrize("kind", ["context_update", "cancel_requested"])
def test_what_replicas_write_on_somebodys_behalf_is_published_by_nobody(kind: str) -> None:
    assert not any(who.may_publish(kind) for who in (principal(), WORKER, principal(kinds=("*",))))


@pytest.mark.parametrize("kind", ["audit", "xy", "x", "messages"])
def test_other_kinds_are_for_workers_and_for_those_whose_credential_names_them(kind: str) -> None:
    assert not principal().may_publish(kind)
    assert WORKER.may_publish(kind)
    assert principal(kinds=(kind,)).may_publish(kind)


def test_kinds_that_a_credential_names_replace_those_of_clients() -> None:
    named = principal(kinds=("x.note.*", "audit"))
    assert named.may_publish("x.note.added")
    assert named.may_publish("audit")
    assert not named.may_publish("audit2")
    assert not named.may_publish("message")


def test_an_empty_list_of_kinds_publishes_nothing() -> None:
    assert not principal(kinds=()).may_publish("message")


def test_without_patterns_a_credential_reaches_what_its_subject_created_and_may_create() -> None:
    assert principal().reaches(SessionId("s1"), ALICE)
    assert principal().reaches(SessionId("s1"), None)
    assert not principal().reaches(SessionId("s1"), Subject("bob"))
    assert principal().owner_required == ALICE


def test_with_patterns_names_alone_decide() -> None:
    support = principal(sessions=("support-*", "lobby"))
    assert support.reaches(SessionId("support-7"), Subject("bob"))
    assert support.reaches(SessionId("lobby"), None)
    assert not support.reaches(SessionId("lobby2"), ALICE)
    assert not support.reaches(SessionId("mine"), ALICE), "not even its own"
    assert support.owner_required is None


def test_an_empty_list_of_patterns_reaches_nothing() -> None:
    assert not principal(sessions=()).reaches(SessionId("s1"), ALICE)


def test_a_fresh_credential_is_for_the_same_principal_when_tenant_and_subject_agree() -> None:
    fresh = Principal(TenantId("acme"), ALICE, 3e9, frozenset({"read"}))
    assert principal().is_same_as(fresh)
    assert not principal().is_same_as(Principal(TenantId("other"), ALICE, 3e9))
    assert not principal().is_same_as(Principal(TenantId("acme"), Subject("bob"), 3e9))


def test_the_author_is_encoded_as_it_stands_in_events() -> None:
    assert Principal(TenantId("acme"), Subject('a"b'), 2e9).author == b'"a\\"b"'
