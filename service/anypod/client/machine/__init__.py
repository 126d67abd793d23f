"""The client as a sans-I/O state machine: inputs and the time go in, commands come out.

Public for other shells (threads, gevent, a load generator) and, with the cases of `service/spec`, for clients in other languages. Must not
wait, open a connection or look at a clock.
"""
