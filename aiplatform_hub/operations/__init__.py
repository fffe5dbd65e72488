"""Use cases: read, decide with domain, write, audit, count."""
