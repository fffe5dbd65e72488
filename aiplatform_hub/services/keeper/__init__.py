"""The keeper: keeps the ledger equal to what runs, whoever else has died."""
