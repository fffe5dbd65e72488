"""Talk to other systems: the hub, GPUs, processes, control groups, the session spool."""
