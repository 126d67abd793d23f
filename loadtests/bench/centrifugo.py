"""Centrifugo, the peer to measure against, set up to do the same work as the product.

Owns finding the program, its configuration, and how it tells a channel's head. Must not know the loads. History, recovery and
credentials are on, and a publish is acknowledged when its Redis engine has it.
"""

import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from loadtests.bench.dialect import SECRET, CentrifugoDialect
from loadtests.bench.process import Process, free_port
from loadtests.bench.server import EVENTS_MAX, Server
from loadtests.bench.store import Redis

from anypod.devcluster.ports import LOOPBACK

ANSWER_S_MAX: Final = 5.0


def find_centrifugo(given: Path | None, root: Path) -> Path | None:
    """The one that was named, on PATH, or among the tools beside the checkout."""
    if given is not None:
        return given
    if found := shutil.which("centrifugo"):
        return Path(found)
    getter = root.parent / "shared/tools/get"
    if not getter.exists():
        return None
    got = subprocess.run((str(getter), "centrifugo"), capture_output=True, text=True, check=False)
    return Path(got.stdout.strip()) if got.returncode == 0 else None


def centrifugo(program: Path, store: Redis, folder: Path, core: int) -> Server:
    port = free_port()
    config = {
        "http_server": {"address": LOOPBACK, "port": port},
        "log": {"level": "error"},
        "usage_stats": {"disabled": True},
        "engine": {"type": "redis", "redis": {"address": f"redis://{LOOPBACK}:{store.port}", "prefix": "centrifugo"}},
        "client": {"token": {"hmac_secret_key": SECRET}},
        "channel": {
            "without_namespace": {
                "history_size": EVENTS_MAX,
                "history_ttl": "168h",
                "force_recovery": True,
                "allow_subscribe_for_client": True,
                "allow_publish_for_client": True,
            }
        },
        "http_api": {"insecure": True},
        "health": {"enabled": True},
    }
    path = folder / f"centrifugo-{port}.json"
    path.write_text(json.dumps(config))
    process = Process((str(program), "--config", str(path)), output=folder / f"centrifugo-{port}.log", core=core)
    return Server("centrifugo", CentrifugoDialect(), process, port=port)


def place_of_missed(server: Server, channel: str, missed: int) -> str:
    """The place of a client that has missed so many."""
    connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=ANSWER_S_MAX)
    connection.request("POST", "/api/history", json.dumps({"channel": channel, "limit": 0}), {"Content-Type": "application/json"})
    head = json.loads(connection.getresponse().read())["result"]
    connection.close()
    return f"{head['offset'] - missed}:{head['epoch']}"
