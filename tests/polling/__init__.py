"""What webhooks did not bring is found: polling, back-fill and comparison against the fakes, over HTTP."""
