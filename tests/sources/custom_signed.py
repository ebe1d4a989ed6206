"""How a gateway would sign that is configured as `custom`: written from its settings, apart from the verifier."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any


def hmac_headers(table: Mapping[str, Any], body: bytes) -> dict[str, str]:
    """The signature of a table that asks for a plain HMAC-SHA256."""
    secret = table["webhook_secrets"][0].encode()
    return {table["signature"]["header"].lower(): hmac.new(secret, body, hashlib.sha256).hexdigest()}


def hash_headers(table: Mapping[str, Any], body: bytes) -> dict[str, str]:
    """The signature of a table that asks for the SHA-512 of the body and the secret behind it."""
    secret = table["webhook_secrets"][0].encode()
    return {table["signature"]["header"].lower(): hashlib.sha512(body + secret).hexdigest()}
