"""What is said of signals and presence is believed because each kind of wrong is found."""

from tests.chaos.ephemeral import Ephemeral


def entry(name: str) -> dict[str, str]:
    return {"id": f"crowd/{name}", "device": name}


def crowd() -> Ephemeral:
    """Two members of one hall who see each other."""
    made = Ephemeral()
    for name in ("ann", "bob"):
        made.join("hall", name)
        made.attached(name)
        made.see(name, [entry("ann"), entry("bob")], [], [])
    made.send("hall", "m1")
    for name in ("ann", "bob"):
        made.hear("hall", name, "m1")
    return made


def test_a_crowd_that_heard_everything_once_and_sees_itself_is_not_complained_of() -> None:
    made = crowd()
    made.conclude(made.who_lacks({"hall": ["m1"]}))
    assert made.complaints == []


def test_a_signal_of_another_session_is_foreign() -> None:
    made = crowd()
    made.send("room", "m2")
    made.hear("hall", "ann", "m2")
    assert made.complaints == ["ann in hall heard a signal that nobody sent there: m2"]


def test_a_signal_is_heard_twice_in_one_attachment_and_not_in_two() -> None:
    made = crowd()
    made.attached("ann")
    made.hear("hall", "ann", "m1")
    assert made.complaints == []
    made.hear("hall", "ann", "m1")
    assert made.complaints == ["ann heard signal m1 twice in one attachment"]


def test_a_member_that_hears_nothing_when_all_is_calm_is_named() -> None:
    made = crowd()
    made.send("hall", "m2")
    made.hear("hall", "ann", "m2")
    made.conclude(made.who_lacks({"hall": ["m2"]}))
    assert made.complaints == ["bob heard none of the signals that were sent when all was calm"]


def test_ghosts_doubles_and_the_missing_are_named() -> None:
    made = crowd()
    made.see("ann", [{"id": "crowd/eve", "device": "eve"}], [entry("bob")], [])
    made.see("bob", [{"id": "another life of ann", "device": "ann"}], [], [])
    made.conclude([])
    assert made.complaints == [
        "presence did not settle: ann in hall lacks ['bob'] and sees beside them ['eve']",
        "presence did not settle: bob in hall lacks [] and sees beside them ['ann']",
    ]
