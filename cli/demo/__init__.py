"""The demonstration: an invented print shop, the real processes, and what the ledger makes of it."""
