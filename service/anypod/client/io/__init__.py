"""The client's shell for asyncio: connections, requests, and the task that runs the machine.

Owns sockets, timers and the application's listeners. Must not know what to do next: the machine decides.
"""
