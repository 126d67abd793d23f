"""The Secret with the signing secret is patched under clients: no pod is restarted, and no client is stranded."""

import asyncio
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

from tests.kubernetes.release import Release
from tests.slo.crowd import Crowd
from tests.support.replica_process import credential

CLIENTS, SESSIONS = 60, 15
TTL_S = 40.0  # of a credential
IN_A_ROW = 25  # answers of the same kind, each on a connection of its own: of three pods none was left out
SYNC_S_MAX = 150.0  # until each kubelet has brought a changed Secret to its pods


class Signer:
    """Who issues credentials of the release, with one secret at a time."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def sign(self, session: str, secret: str | None = None, ttl_s: float = TTL_S) -> str:
        return credential("crowd", session, sessions=[session], secret=secret or self.secret, ttl_s=ttl_s)

    def fresh(self, session: str) -> Callable[[], Awaitable[str]]:
        async def give() -> str:
            return self.sign(session)

        return give


def status(url: str, shown: str) -> int:
    request = urllib.request.Request(f"{url}/v1/sessions", headers={"Authorization": f"Bearer {shown}", "Connection": "close"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def until_all(url: str, shown: str, wanted: int) -> float:
    """Every pod answers so; the seconds that it took."""
    began, row = time.monotonic(), 0
    while row < IN_A_ROW:
        row = row + 1 if status(url, shown) == wanted else 0
        assert time.monotonic() < began + SYNC_S_MAX, f"not every pod answers {wanted}"
        time.sleep(0.05 if row else 0.5)
    return time.monotonic() - began


async def test_the_signing_secret_is_rotated_by_patching_its_secret(release: Release) -> None:
    signer, old, new = Signer(release.secret), release.secret, secrets.token_urlsafe(48)
    url, pods = release.url(), release.serving()

    def patch(**keys: str | None) -> None:
        body = {f"jwt-{name.replace('_', '-')}": value for name, value in keys.items()}
        given = {"stringData": {name: value for name, value in body.items() if value is not None}}
        gone = {"data": {name: None for name, value in body.items() if value is None}}
        release.kube.kubectl("patch", "secret", release.name, "--type", "merge", "-p", json.dumps({**given, **gone}))

    def rotate() -> None:
        shown_old, shown_new = signer.sign("mine", old, 3_600), signer.sign("mine", new, 3_600)
        patch(previous_secret=new)
        print(f"\nthe next secret is accepted everywhere after {until_all(url, shown_new, 200):.0f} s")
        patch(secret=new, previous_secret=old)
        signer.secret = new
        time.sleep(TTL_S)
        until_all(url, shown_old, 200)
        patch(previous_secret=None)
        print(f"the one before is refused everywhere after {until_all(url, shown_old, 401):.0f} s")
        time.sleep(TTL_S)  # whoever was attached with it has had to come again, or would be gone
        until_all(url, shown_new, 200)

    crowd = Crowd(lambda: url, CLIENTS, SESSIONS, "rotation", credential=signer.fresh, publish_every_s=1.0)
    outcome = await crowd.run(lambda: asyncio.create_task(asyncio.to_thread(rotate)))
    print(outcome)
    assert outcome.is_clean, outcome
    assert release.serving() == pods, "no pod was restarted"
