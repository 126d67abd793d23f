"""The benchmark: what one core carries, each figure beside a reference that was measured in the same run."""
