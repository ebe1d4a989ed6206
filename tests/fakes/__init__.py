"""Outside systems as they are over HTTP, on loopback, with their bad days."""
