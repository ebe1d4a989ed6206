"""Where everything is kept: journal, inbox, facts, ledger, history. SQLite or PostgreSQL, one code path."""
