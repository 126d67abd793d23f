"""The log on Redis: the queue of appends, the codecs of calls and replies, requests, and the wait for replicas of Redis."""
