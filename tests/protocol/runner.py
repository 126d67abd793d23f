"""Carry out the steps of a case, one after the other.

Owns their order, what is compared and what is kept. Must not know what a step does.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import UNSET
from tests.protocol.acting import Args
from tests.protocol.cases import Case, Step
from tests.protocol.pattern import difference, filled
from tests.protocol.steps_environment import Surroundings
from tests.protocol.steps_reading import Reading
from tests.protocol.steps_socket import Sockets
from tests.protocol.steps_writing import Writing


class Player(Reading, Writing, Sockets, Surroundings):
    async def play(self, case: Case) -> None:
        """Raises AssertionError, naming the step."""
        try:
            for number, step in enumerate(case.steps, 1):
                try:
                    await self._take(step)
                except AssertionError as error:
                    raise AssertionError(f"step {number}, {step.who} {step.does}: {error}") from error
        finally:
            await self.stage.empty()

    async def _take(self, step: Step) -> None:
        act: Callable[[Step, Args], Awaitable[Any]] = getattr(self, step.does)
        came = await act(step, filled(step.with_, self.stage.kept))
        wanted = self._wanted(step)
        if wanted is not UNSET:
            found = difference(wanted, came)
            assert found is None, found
        for name, path in step.keeps.items():
            self.stage.kept[name] = _at(came, path)

    def _wanted(self, step: Step) -> Any:
        """What is expected, but for what this transport does not tell of an opening."""
        wanted = filled(step.gets, self.stage.kept)
        if step.does != "attach" or not isinstance(wanted, dict):
            return wanted
        not_told = self.stage.attached(step.who).not_told
        return {name: pattern for name, pattern in wanted.items() if name not in not_told}


def _at(came: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        came = came[int(part)] if isinstance(came, list) else came[part]
    return came
