"""Pure rules: values in, values out. No files, network, database, clock or randomness."""
