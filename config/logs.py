"""Logging: one line for each record, to standard error, time in UTC.

What goes into a line is told as `logger.info("what happened", extra={"source": name})`. An exception is shown by its
type and the places it passed: its text may quote what came from outside.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}

_ROOMS = ("cli", "config", "console", "ledger", "listener", "sources", "storage", "sync")


def setup(level: str, form: Literal["text", "json"]) -> None:
    """Log what our own code tells from `level` upwards to standard error, in this form; of libraries warnings only.

    What they tell below that is made of what passes through them: addresses with a token, values of SQL statements.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    for room in _ROOMS:
        logging.getLogger(room).setLevel(level.upper())


class _Text(logging.Formatter):
    """`2026-11-20T10:00:00.000Z INFO sync.pair paired entries=3`."""

    def format(self, record: logging.LogRecord) -> str:
        time, level, logger, message, *more = _fields(record).items()
        head = f"{time[1]} {level[1]} {logger[1]} {_printable(message[1])}"
        return " ".join((head, *(f"{_printable(key)}={_word(value)}" for key, value in more)))


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields = {
        "time": time.replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    fields |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None:
        frames = traceback.extract_tb(record.exc_info[2])[-8:]
        fields["exception"] = record.exc_info[0].__name__
        fields["at"] = " > ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
    return fields


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(" \"'=") else json.dumps(text)
