"""The schema's version, and how it moves on. Alembic is loaded only where there is something to do."""

from collections.abc import Callable

from sqlalchemy import Connection, inspect, text

from storage.database import StorageUnavailable

HEAD = "0010"
"""The newest revision in storage/migrations/versions."""


def is_current(conn: Connection) -> bool:
    """Whether the database has the newest schema. Raises StorageUnavailable where it has one that is newer still."""
    if not inspect(conn).has_table("alembic_version"):
        return False
    version = str(conn.scalar(text("SELECT version_num FROM alembic_version")))
    if version > HEAD:
        raise StorageUnavailable(f"the database has schema {version}, and this program knows {HEAD}: run the newer one")
    return version == HEAD


def upgrader() -> Callable[[Connection], None]:
    """What brings the schema up to date, inside the connection's transaction; nothing where another process was faster.

    Alembic is loaded here, before anybody waits for that transaction to end.
    """
    from alembic import command
    from alembic.config import Config

    def upgrade(conn: Connection) -> None:
        if is_current(conn):
            return
        config = Config()
        config.set_main_option("script_location", "storage:migrations")
        config.attributes["connection"] = conn
        command.upgrade(config, "head")

    return upgrade
