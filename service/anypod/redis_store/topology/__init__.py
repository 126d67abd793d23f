"""Where the primary is: a single server, Sentinel, or Cluster with its slots."""
