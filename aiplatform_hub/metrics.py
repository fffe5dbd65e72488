"""All Prometheus metrics, in one place. No user names as labels; every status value exists from the start."""
