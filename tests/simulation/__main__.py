"""`python -m tests.simulation SEED [SEED_END]`: one world with its story, or many with a line for each that went wrong."""

import logging
import sys
import time

from tests.simulation.format_history import story
from tests.simulation.schedule import script
from tests.simulation.world import run, run_many


def main(arguments: list[str]) -> int:
    first = int(arguments[0])
    return one(first) if len(arguments) == 1 else many(first, int(arguments[1]))


def one(seed: int) -> int:
    logging.basicConfig(level=logging.ERROR)
    outcome = run(seed, script)
    print(story(outcome.history.records))
    print(outcome.report() if not outcome.is_good else f"world {seed} is as promised")
    return 0 if outcome.is_good else 1


def many(first: int, end: int) -> int:
    logging.disable()
    began, bad, records, steps = time.process_time(), 0, 0, 0
    for outcome in run_many(range(first, end), script):
        records += len(outcome.history.records)
        steps += outcome.steps
        if not outcome.is_good:
            bad += 1
            print(f"{outcome.seed}: {'; '.join([*outcome.problems, *map(str, outcome.violations[:1])])[:300]}", flush=True)
    count = end - first
    spent_ms = 1000 * (time.process_time() - began) / count
    print(f"{count} worlds, {bad} of them bad; each {records / count:.0f} records, {steps / count:.0f} steps, {spent_ms:.1f} ms")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
