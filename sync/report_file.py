"""Reading a report: a CSV file, row by row, in bounded memory, whatever program wrote it."""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from config.problems import nearest

DELIMITERS = (",", ";", "\t", "|")
ROWS_MAX = 1_000_000
"""No report is longer; the memory that a check needs grows with the rows."""

_HEADER_MAX = 2**16


class ReportUnusable(Exception):  # noqa: N818 - it is what the sentence says
    """The file cannot be read as what was said of it; the text is a sentence for people."""


@dataclass(frozen=True)
class Layout:
    """Where a report has what."""

    columns: Mapping[str, str]
    """field = column."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """field = what it is in every row."""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """column = what has to stand in it; other rows are left out."""
    encoding: str = "utf-8"
    delimiter: str | None = None
    """None: the one of `DELIMITERS` with which the header has the columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the report."""

    line: int
    """The line on which it begins; the header is on line 1."""
    cells: dict[str, str] | None
    """By field, without blanks around them; None where the row is not wanted."""
    fault: str | None = None
    bytes_read: int = 0
    """How much of the file has been read so far."""


def rows(file: Path, layout: Layout) -> Iterator[Row]:
    """The rows in order. Raises ReportUnusable, OSError."""
    wanted = [*layout.columns.values(), *layout.only]
    delimiter = layout.delimiter or _delimiter(file, layout, wanted)
    with _opened(file, layout) as (raw, text):
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        header = _header(reader)
        places = {column: _place(header, column) for column in wanted}
        last = reader.line_num
        for number, record in enumerate(reader):
            if number >= ROWS_MAX:
                raise ReportUnusable(f"{file.name} has more than {ROWS_MAX:,} rows: import it in parts.")
            line, last = last + 1, reader.line_num
            if not any(cell.strip() for cell in record):
                continue
            if len(record) < len(header) or any(record[len(header) :]):
                fault = f"it has {len(record)} cells, and the header {len(header)}"
                yield Row(line, {}, fault, raw.tell())
            else:
                yield Row(line, _cells(record, places, layout), None, raw.tell())


def _cells(record: list[str], places: Mapping[str, int], layout: Layout) -> dict[str, str] | None:
    if any(record[places[column]].strip() not in words for column, words in layout.only.items()):
        return None
    told = {name: record[places[column]].strip() for name, column in layout.columns.items()}
    return {**layout.fixed, **told}


@contextmanager
def _opened(file: Path, layout: Layout) -> Iterator[tuple[io.BufferedReader, TextIO]]:
    encoding = "utf-8-sig" if layout.encoding == "utf-8" else layout.encoding
    with file.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        try:
            yield raw, text
        except UnicodeError:
            raise ReportUnusable(f"{file.name} is not {layout.encoding}: try another --encoding.") from None
        except csv.Error as error:
            raise ReportUnusable(f"{file.name} is not CSV: {error}.") from None


def _delimiter(file: Path, layout: Layout, wanted: list[str]) -> str:
    """The one with which the header has every column; else that with which it has most."""
    with _opened(file, layout) as (_, text):
        beginning = text.read(_HEADER_MAX)
    headers = {d: _header(csv.reader(io.StringIO(beginning, newline=""), delimiter=d)) for d in DELIMITERS}
    return max(headers, key=lambda d: (len({*wanted} & {*headers[d]}), len(headers[d])))


def _header(reader: "Iterator[list[str]]") -> list[str]:
    header = next(reader, None)
    if not header:
        raise ReportUnusable("The file is empty: a header with the names of the columns has to be on line 1.")
    return [name.strip() for name in header]


def _place(header: list[str], column: str) -> int:
    found = header.count(column)
    if found == 1:
        return header.index(column)
    if found:
        raise ReportUnusable(f"The header has {found} columns {column!a}: rename them, so that it has one.")
    raise ReportUnusable(f"The header has no column {column!a}: {nearest(column, filter(None, header))}.")
