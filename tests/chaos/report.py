"""What a run has shown, as numbers.

Owns their shape, and which fault explains which recovery. Must not know how they are shown.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from tests.chaos.campaign import Campaign, Struck
from tests.chaos.client_recorder import Recovery
from tests.chaos.clients import Client
from tests.chaos.library import LibraryClient
from tests.chaos.violations import LOSSES
from tests.simulation.history import ResetSeen

from anypod.core.statistics import percentile

AFTERMATH_S: Final = 10.0  # who is cut off so long after a fault's end was still cut off by it
GIST_CHARS: Final = 120
OF_ITSELF: Final = "(no fault)"  # a stream that has reached its age


class Times(Struct):
    """Seconds."""

    count: int
    p50: float
    p95: float
    max: float


class RowFigures(Struct):
    """`recoveries`: of clients that were cut off, until they were up to date again. `well`: from the end of a fault until everybody
    read and wrote again. `resets`: that clients were told, `lost_events`: that Redis had lost."""

    row: str
    faults: int
    recoveries: Times | None
    well: Times | None
    resets: int
    lost_events: int


class Span(Struct):
    """One fault, for the picture of the run. `well_s`: None when nobody waited."""

    row: str
    began: float
    ended: float
    well_s: float | None


class Report(Struct):
    """`taken_back`: deliveries that clients were told to drop, `resets`: how that was announced, by reason.

    `answers`: how publishes were answered, each attempt; `refusals`: those for good. `errors`: lines that replicas should not write.
    `asides`: what else was checked. `resumed`: from the loss of a primary to the next event.
    """

    seed: int
    again: str
    topology: str
    seconds: float
    clients: dict[str, int]
    events: int
    acknowledged: int
    deliveries: int
    faults: int
    losses: dict[str, int]
    complaints: list[str]
    resets: dict[str, int]
    taken_back: int
    lost_events: int
    refusals: dict[str, int]
    errors: dict[str, int]
    asides: dict[str, int]
    answers: dict[str, int]
    by_row: list[RowFigures]
    resumed: Times | None
    skipped: list[str]
    spans: list[Span]
    stories: list[str]

    @property
    def is_clean(self) -> bool:
        return not any(self.losses.values()) and not self.complaints

    def __str__(self) -> str:
        harm = ", ".join(f"{count} {loss}" for loss, count in self.losses.items() if count) or "nothing lost, doubled, reordered or hidden"
        told = ", ".join(f"{count} {reason}" for reason, count in self.resets.items()) or "none"
        return (
            f"{self.deliveries:,} deliveries of {self.events:,} events checked under {self.faults} faults in {self.seconds:.0f} s: {harm}; "
            f"resets announced: {told}; Redis lost {self.lost_events:,} events" + "".join(f"\n{complaint}" for complaint in self.complaints)
        )


def report_of(campaign: Campaign, *, again: str, skipped: Sequence[str]) -> Report:
    ledger, pens = campaign.stage.ledger, [client.pen for client in campaign.crowd.clients]
    kinds = [_kind(client) for client in campaign.crowd.clients]
    return Report(
        seed=campaign.plan.seed,
        again=again,
        topology=campaign.stage.topology,
        seconds=campaign.stage.now(),
        clients=dict(Counter(kinds)),
        events=ledger.counts["Logged"],
        acknowledged=ledger.counts["Acknowledged"],
        deliveries=ledger.counts["Applied"],
        faults=len(campaign.faults),
        losses={loss: ledger.losses[loss] for loss in LOSSES},
        complaints=campaign.complaints,
        resets=dict(Counter(reset.reason for reset in ledger.resets)),
        taken_back=sum(pen.taken_back for pen in pens),
        lost_events=ledger.lost_events,
        refusals=dict(ledger.refusals),
        errors=dict(Counter(map(_gist, campaign.stage.failures()))),
        asides={
            "folds of the log": ledger.counts["Folded"],
            "pages of history": ledger.counts["Leafed"],
            "changes of state": ledger.counts["Patched"],
            **campaign.crowd.ephemeral.counts,
        },
        answers=dict(sum((Counter(pen.answers) for pen in pens), Counter())),
        by_row=list(_by_row(campaign)),
        resumed=_times(campaign.stage.resumes),
        skipped=list(skipped),
        spans=[Span(fault.row, fault.began, fault.ended, fault.well_s) for fault in campaign.faults],
        stories=ledger.stories,
    )


def total(reports: Sequence[Report]) -> str:
    """Of several campaigns, in a line."""
    harm = sum((Counter(report.losses) for report in reports), Counter[str]())
    complaints = sum(len(report.complaints) for report in reports)
    found = ", ".join(f"{count} {loss}" for loss, count in harm.items() if count) or "nothing lost, doubled, reordered or hidden"
    return (
        f"{len(reports)} campaigns, {sum(report.seconds for report in reports) / 60:.0f} minutes: "
        f"{sum(report.deliveries for report in reports):,} deliveries checked under {sum(report.faults for report in reports)} faults: "
        f"{found}; {complaints} complaints; Redis lost {sum(report.lost_events for report in reports):,} events, "
        f"all announced by {sum(sum(report.resets.values()) for report in reports):,} resets"
    )


def _kind(client: Client) -> str:
    return f"{client.pen.transport}, {'library' if isinstance(client, LibraryClient) else 'protocol alone'}"


def _by_row(campaign: Campaign) -> Iterator[RowFigures]:
    recoveries: dict[str, list[float]] = {}
    for client in campaign.crowd.clients:
        for recovery in client.pen.recoveries:
            recoveries.setdefault(cause_of(recovery, campaign.faults), []).append(recovery.live_at - recovery.cut_at)
    resets = Counter(_reason(reset, campaign) for reset in campaign.stage.ledger.resets)
    for name in [*(row.name for row in campaign.plan.rows), OF_ITSELF]:
        struck = [fault for fault in campaign.faults if fault.row == name]
        if struck or name in recoveries:
            well = [fault.well_s for fault in struck if fault.well_s is not None]
            lost = sum(fault.lost_events for fault in struck)
            yield RowFigures(name, len(struck), _times(recoveries.get(name, [])), _times(well), resets[name], lost)


def cause_of(recovery: Recovery, faults: Sequence[Struck]) -> str:
    """The fault that began nearest to when the client heard its last, among those that were going on meanwhile or just over."""
    near = [fault for fault in faults if fault.began <= recovery.live_at and recovery.cut_at <= fault.ended + AFTERMATH_S]
    return min(near, key=lambda fault: abs(fault.began - recovery.cut_at)).row if near else OF_ITSELF


def _reason(reset: ResetSeen, campaign: Campaign) -> str:
    """The row that allows such a reset and was played last before it."""
    allowing = {row.name for row in campaign.plan.rows if reset.reason in row.allows}
    before = [fault for fault in campaign.faults if fault.row in allowing and fault.began <= reset.at]
    return max(before, key=lambda fault: fault.began).row if before else OF_ITSELF


def _gist(line: str) -> str:
    """A line of a replica without its time and what changes from line to line."""
    return line.partition(" ERROR ")[2].strip()[:GIST_CHARS] or line[:GIST_CHARS]


def _times(seconds: Sequence[float]) -> Times | None:
    if not seconds:
        return None
    return Times(len(seconds), *(round(value, 3) for value in (percentile(seconds, 50), percentile(seconds, 95), max(seconds))))
