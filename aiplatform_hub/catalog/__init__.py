"""The catalogue: YAML files turned into domain values."""
