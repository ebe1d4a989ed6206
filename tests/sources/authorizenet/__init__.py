"""Authorize.net: its webhooks, what its API tells, and how it is asked."""
