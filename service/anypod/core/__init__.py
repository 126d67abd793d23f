"""Decisions without waiting: no await, clock, randomness or I/O in here."""
