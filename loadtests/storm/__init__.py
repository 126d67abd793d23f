"""The worst that clients can do to a replica at once, and what its publishers notice of it."""
