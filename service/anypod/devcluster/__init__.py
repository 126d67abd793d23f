"""A whole cluster on this machine, for `anypod dev`, `anypod demo` and tests: Redis, replicas and a balancer as supervised processes."""
