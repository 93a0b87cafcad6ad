"""What would stop a run on a cluster, found out before it starts: `headstart check`."""
