"""A run from its plan to its report.

Owns the order in which the stage, the crowd and the campaign come to be. Must not know who asked for it.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.campaign import Campaign, Plan
from tests.chaos.clients import Clients, groups
from tests.chaos.environment import stage_of
from tests.chaos.report import Report, report_of


async def run(plan: Plan, folder: Path, say: Callable[[str], None], *, again: str = "", skipped: Sequence[str] = ()) -> Report:
    rng = random.Random(plan.seed)
    is_clocked = any(row.needs_clock for row in plan.rows)
    async with stage_of(plan.topology, folder, rng, is_clocked=is_clocked) as stage:
        campaign = Campaign(plan, stage, Clients(stage.url_for, stage.ledger, rng, groups(plan.rate)), say)
        await campaign.run()
        return report_of(campaign, again=again, skipped=skipped)
