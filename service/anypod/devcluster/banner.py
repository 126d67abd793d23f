"""What a newcomer is told when the cluster is up: where to look, and lines to paste.

Owns the wording. Must not know how anything runs.
"""

from collections.abc import Iterator
from pathlib import Path

from anypod.devcluster.credentials import DEMO_SESSION, DEMO_TENANT, TTL_S, reader_credential
from anypod.devcluster.state_file import RECORD_NAME, ClusterRow

CURL_LINE = (
    'curl -N -H "Accept: text/event-stream" -H "Authorization: Bearer {credential}" "{url}/v1/sessions/{session}/events?after=start"'
)

PYTHON_LINES = """\
{python} - <<'END'
import asyncio
from anypod.client import Event, Session

async def main():
    async with Session("{url}", "{session}", credential="{credential}") as session:
        async for item in session:
            if isinstance(item, Event):
                print(item.seq, item.kind, item.data)

asyncio.run(main())
END"""


def lines(row: ClusterRow, data: Path, *, python: str, with_demo: bool) -> Iterator[str]:
    credential = reader_credential()
    yield f"\nanypod runs at {row.url}, a balancer before {len(row.replicas)} replicas:"
    for replica in row.replicas:
        yield f"  {replica.name}  {replica.url}  admin {replica.admin_url}/metrics  pid {replica.pid}"
    yield f"  redis      {row.redis.url}" + (f"  pid {row.redis.pid}" if row.redis.pid else "  (was there before, and stays)")
    yield f"For programs the same stands in {data.parent / RECORD_NAME}, kept up to date."
    if with_demo:
        yield f"A publisher streams answers, word by word, into the session `{DEMO_SESSION}` of the tenant `{DEMO_TENANT}`."
    yield "\nWatch it with curl, from its first event on (with after=tail: from now on):\n"
    yield CURL_LINE.format(url=row.url, session=DEMO_SESSION, credential=credential)
    yield "\nOr from Python, whose client resumes by itself on another replica when its own dies; curl's stream ends then:\n"
    yield PYTHON_LINES.format(python=python, url=row.url, session=DEMO_SESSION, credential=credential)
    yield f"\nTheir credential holds {TTL_S // 3_600} hours, on clusters like this one alone. Others: {python} -m anypod token --help"
    yield f"\nThen kill a replica while you watch; it is started again, with another pid: kill -9 {row.replicas[0].pid}"
    yield f"Ctrl-C ends everything that was started here; the data stays in {data}.\n"
