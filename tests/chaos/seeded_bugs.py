"""Bugs that the product's functions do not have, planted into a server that runs them.

Owns the bugs. Must not touch the product: a server is given the text of the functions again, with a proof cut out.
"""

from typing import Final

from tests.support.redis_servers import RedisServer, Reply

INCARNATION: Final = b"replid = string.sub(string.match(text, 'master_replid:(%x+)'), 1, 6)"
ONE_FOR_ALL: Final = b"replid = 'abcdef'"


def without_terms(server: RedisServer) -> None:
    """Every incarnation of a server looks like the first."""
    for source in _sources(server):
        assert INCARNATION in source, "the functions read another way which incarnation they run in"
        server.command("FUNCTION", "LOAD", "REPLACE", source.replace(INCARNATION, ONE_FOR_ALL))


def _sources(server: RedisServer) -> list[bytes]:
    """Of all libraries that replicas have loaded."""
    libraries = server.command("FUNCTION", "LIST", "WITHCODE")
    assert isinstance(libraries, list)
    assert libraries
    return [_source(library) for library in libraries]


def _source(library: Reply) -> bytes:
    assert isinstance(library, list)
    code = library[library.index(b"library_code") + 1]
    assert isinstance(code, bytes)
    return code
