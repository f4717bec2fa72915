"""The parts of scripts/cluster and scripts/queues: a private PostgreSQL and nodes upon it. Not an installable package."""
