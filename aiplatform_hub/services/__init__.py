"""Hub services: one module or package per process."""
