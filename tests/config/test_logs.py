"""One line for each record, whatever is in it."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import logs


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    for room in logs._ROOMS:
        logging.getLogger(room).setLevel(logging.NOTSET)


def test_a_line_tells_time_level_logger_message_and_more(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "text")

    logging.getLogger("sync.pair").info("paired %s", 3, extra={"source": "shop", "why": "two words", "none": ""})

    line = capsys.readouterr().err
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO sync\.pair paired 3 source=shop why="two words" none=""\n', line
    )


def test_below_the_level_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("warning", "text")

    logging.getLogger("sync.pair").info("quiet")

    assert capsys.readouterr().err == ""


def test_a_line_break_cannot_forge_a_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "text")

    logging.getLogger("sync").info("a\nb", extra={"key": "c\nd\x1b[31m"})

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_by_type_and_place_only(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json" if form == "json" else "text")
    try:
        int("whsec_hunter2")
    except ValueError:
        logging.getLogger("x").exception("it failed")

    line = capsys.readouterr().err
    assert "ValueError" in line
    assert "test_logs.py:" in line
    assert "hunter2" not in line
    assert len(line.splitlines()) == 1


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")

    logging.getLogger("x").warning("careful\n", extra={"source": "shop"})

    record = json.loads(capsys.readouterr().err)
    assert record.pop("time").endswith("Z")
    assert record == {"level": "WARNING", "logger": "x", "message": "careful\n", "source": "shop"}


@pytest.mark.parametrize("name", ["httpx", "aiosqlite", "sqlalchemy.engine", "asyncpg", "uvicorn.error", "asyncio"])
def test_what_passes_through_a_library_is_not_logged_on_any_level(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup("debug", "text")

    logging.getLogger(name).info("GET https://shop/services/api/auth/hunter2")

    assert capsys.readouterr().err == ""


def test_every_room_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("debug", "text")
    rooms = [folder.name for folder in Path(logs.__file__).parents[1].iterdir() if (folder / "__init__.py").exists()]
    ours = sorted(set(rooms) - {"bench", "deploy", "tests"})

    for room in ours:
        logging.getLogger(f"{room}.x").debug("here")

    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == [f"{room}.x" for room in ours]
