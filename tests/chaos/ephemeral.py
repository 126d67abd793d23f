"""What no log keeps: signals, and which members see each other. Recorded by the crowd, judged as it goes and at its end.

Owns the marks that were sent and heard, each member's view of the others, and what is wrong with either. Must not know how clients connect.

A signal is delivered at most once to an attachment, in its own session alone, and when all is calm to every attachment. A member's view of
the others is what it was told, from its latest attachment on; when all is calm it has every member once, and nobody else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

COMPLAINTS_MAX: Final = 20  # one fault of the product shows in many members


class Ephemeral:
    """`members`: by session, the clients that ask for presence, each with its name as its device. `counts`: how much was judged."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._sent: dict[str, str] = {}  # session by mark
        self._heard: dict[str, set[str]] = {}  # marks by client, in its present attachment
        self._views: dict[str, dict[str, str | None]] = {}  # by client: device by the id of an entry

    def join(self, session: str, client: str) -> None:
        self.members.setdefault(session, set()).add(client)

    def attached(self, client: str) -> None:
        """What it was told before was of another attachment."""
        self._heard[client] = set()
        self._views[client] = {}

    # Signals.
    def send(self, session: str, mark: str) -> None:
        """It is about to be sent; whether it was is not known before it is heard."""
        self._sent[mark] = session
        self.counts["signals sent"] += 1

    def hear(self, session: str, client: str, mark: str) -> None:
        self.counts["signals heard"] += 1
        heard = self._heard.setdefault(client, set())
        if self._sent.get(mark) != session:
            self._complain(f"{client} in {session} heard a signal that nobody sent there: {mark}")
        if mark in heard:
            self._complain(f"{client} heard signal {mark} twice in one attachment")
        heard.add(mark)

    def who_lacks(self, marks: Mapping[str, Iterable[str]]) -> list[str]:
        """The members that have heard none of the marks of their session."""
        return [
            member
            for session, members in self.members.items()
            for member in sorted(members)
            if self._heard.get(member, set()).isdisjoint(marks.get(session, ()))
        ]

    # Presence.
    def see(self, client: str, joined: Iterable[Any], left: Iterable[Any], updated: Iterable[Any]) -> None:
        self.counts["changes of presence"] += 1
        view = self._views.setdefault(client, {})
        for entry in left:
            view.pop(entry["id"], None)
        for entry in (*joined, *updated):
            view[entry["id"]] = entry["device"]

    def who_is_wrong(self) -> list[str]:
        """Members whose view is not who is there, with what is wrong: for a person."""
        wrong = []
        for session, members in self.members.items():
            for member in sorted(members):
                seen, there = Counter(map(str, self._views.get(member, {}).values())), Counter(members)
                if seen != there:
                    wrong.append(f"{member} in {session} lacks {sorted(there - seen)} and sees beside them {sorted(seen - there)}")
        return wrong

    def conclude(self, lacking: Iterable[str]) -> None:
        """At the end of the calm. `lacking`: who heard none of the last signals."""
        for member in lacking:
            self._complain(f"{member} heard none of the signals that were sent when all was calm")
        for what in self.who_is_wrong():
            self._complain(f"presence did not settle: {what}")

    def _complain(self, what: str) -> None:
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints.append(what)
