"""The daemon: events are interpreted into facts, facts are paired into entries, and people are told."""
