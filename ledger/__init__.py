"""The domain: money, facts, how they merge, how they pair. Pure: no I/O, and time is passed in."""
