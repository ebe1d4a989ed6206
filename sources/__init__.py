"""One file per outside system: its settings, its signature, the events that are used, what they say."""
