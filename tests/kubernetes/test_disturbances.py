"""Three hundred clients on the release while it is upgraded, scaled, drained and broken: nothing is lost, and nobody is moved in vain."""

import pytest
from tests.kubernetes.deeds import MORE, REPLICAS, SUDDEN, VOLUNTARY, kill_node, redis_pod
from tests.kubernetes.disturbance import Disturbance
from tests.kubernetes.machine import Kit, find_machine
from tests.kubernetes.release import Release
from tests.repository.not_run import missing

BALANCED_S_MAX = 150.0  # a minute of rest, half a minute of goodbyes, and another for those who come back to where others are sent away
MOVES_MAX = 3  # twice for the balance, if chance will have it, and once more when the late replicas go again


@pytest.mark.parametrize("name", VOLUNTARY)
async def test_nothing_is_lost_and_nobody_is_moved_in_vain_by(name: str, release: Release) -> None:
    before = release.serving()
    crowd = Disturbance(release, name)
    await crowd.run(lambda: VOLUNTARY[name](release))
    crowd.check_politeness(crowd.replicas_met() - release.serving() | before - release.serving())


@pytest.mark.parametrize("name", SUDDEN)
async def test_nothing_is_lost_by(name: str, release: Release) -> None:
    await Disturbance(release, name).run(lambda: SUDDEN[name](release))


async def test_replicas_that_come_late_get_their_share_and_give_it_back_when_they_go(release: Release) -> None:
    crowd = Disturbance(release, "balance")

    def balance() -> None:
        release.begin_upgrade({"replicaCount": MORE})
        release.until_settled(MORE)
        took = release.kube.until(lambda: is_balanced(release.held()), "every replica holds its share", BALANCED_S_MAX)
        print(f"\nbalanced {took:.0f} s after the last one came: {sorted(release.held().values())}")
        release.begin_upgrade({"replicaCount": REPLICAS})
        release.until_settled(REPLICAS)

    await crowd.run(balance)
    moves = [len(member.attached) - 1 for member in crowd.members if member.transport != "poll"]
    print(f"  clients moved: {sum(count > 0 for count in moves)} of {len(moves)}, the most moves of one: {max(moves)}")
    assert max(moves) <= MOVES_MAX


async def test_nothing_is_lost_by_a_node_that_dies(release: Release) -> None:
    machine = find_machine()
    if not isinstance(machine, Kit):
        pytest.skip(missing("cluster kit", "no other cluster's nodes may be killed"))
    assert redis_pod(release)["spec"]["nodeName"]
    await Disturbance(release, "node killed").run(lambda: kill_node(release, machine.kill_node))


def is_balanced(held: dict[str, int]) -> bool:
    return max(held.values()) <= 1.2 * sum(held.values()) / len(held) + 1
