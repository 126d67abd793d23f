"""A replica in miniature: answers with its name, echoes what follows a blank line, and is ready at once.

It takes the same variables as the real one, so that the cluster around it can be tried without its weight.
"""

import asyncio
import os
import signal

CHUNK_BYTES = 65_536


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        if await reader.readline() == b"echo\n":
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        else:
            writer.write(f"{os.environ['ANYPOD_REPLICA']} {os.getpid()}\n".encode())
        await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def main() -> None:
    if "ANYPOD_TEST_STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await asyncio.start_server(serve, os.environ["ANYPOD_HOST"], int(os.environ["ANYPOD_PORT"]))
    await asyncio.start_server(ready, os.environ["ANYPOD_ADMIN_HOST"], int(os.environ["ANYPOD_ADMIN_PORT"]))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
