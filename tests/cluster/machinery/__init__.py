"""A real Kubernetes on this machine: built from Go modules, run as plain processes, taken down without a trace."""
