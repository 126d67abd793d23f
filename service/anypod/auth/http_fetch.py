"""Fetch small documents over HTTP.

Owns the connection, its limits and the translation of its errors. Must not know what the documents mean. The library is
imported for those who fetch: most replicas never do, and would start a quarter of a second later.
"""

import importlib
from typing import TYPE_CHECKING, Final

from anypod.core.errors import AnypodError

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_S: Final = 5.0  # of a whole fetch: a client waits to be let in
DOCUMENT_BYTES_MAX: Final = 1 << 18  # a key set of a hundred keys with their certificates
_CHUNK_BYTES: Final = 1 << 14


class Fetcher:
    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None

    def prepare(self) -> None:
        """Call it at the start when fetches will follow: the first one would otherwise stall the loop while it imports."""
        importlib.import_module("aiohttp")

    async def fetch(self, url: str) -> bytes:
        """The document. Raises AnypodError `unavailable` for everything that is not a 200 within the limits: redirects too."""
        import aiohttp

        try:
            async with self._client().get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise AnypodError("unavailable", f"it answers {response.status}")
                return await _limited(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise AnypodError("unavailable", f"it cannot be reached ({type(exc).__name__})") from exc

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _client(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,  # a small answer cannot become a large one
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._http


async def _limited(content: "aiohttp.StreamReader") -> bytes:
    document = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        document += chunk
        if len(document) > DOCUMENT_BYTES_MAX:
            raise AnypodError("unavailable", f"its answer exceeds {DOCUMENT_BYTES_MAX} bytes")
    return bytes(document)
