"""The delivery guarantees checked from outside, against any deployment: the workload, the history checker and the signed report."""
