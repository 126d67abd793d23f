"""Hostile input: what it is answered, and that neither memory nor the log suffers from it."""
