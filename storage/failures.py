"""Why a database cannot do its work, in words that somebody on call can look up."""

import re
import ssl

from sqlalchemy import exc

from config.system import in_words

_NEXT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_NO_RIGHT = "42501"
_SENTENCES = {_NO_RIGHT: "the user may not do this, let it own the database"}


def is_fault_of_ours(error: BaseException) -> bool:
    """Whether a statement is wrong, not the database."""
    if not isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return False
    return getattr(error.orig, "sqlstate", None) != _NO_RIGHT


def why(error: BaseException) -> str:
    """As PostgreSQL, SQLite or the operating system names it: never with data, an address or a secret."""
    if isinstance(error, exc.TimeoutError):
        return "no connection was free in time"
    if isinstance(error, exc.DBAPIError) and error.orig:
        error = error.orig.__cause__ or error.orig  # of asyncpg's errors SQLAlchemy makes its own
    name = type(error).__name__
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'reason', None) or name}"
    if isinstance(error, OSError):
        return in_words(error)
    if state := getattr(error, "sqlstate", None):
        words = _NEXT_WORD.sub(" ", name.removesuffix("Error")).lower()
        return f"{_SENTENCES.get(state, words)} ({state})"
    if known := getattr(error, "sqlite_errorname", None):
        return f"{error} ({known})"
    return f"the connection broke ({name})"
