"""The product's own core in seeded worlds, judged by what was seen."""
