"""The settings that belong to no source."""

import re
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.layers import Raw
from config.notices import CustomerNotice, Receiver
from config.problems import explain
from config.values import Bind, BindAddress, Duration, Moment, Secret, Size, Timeout, TimeZone

DELETE_MIN = timedelta(days=90)
"""No event is deleted earlier. Gateways repeat a delivery for days (Stripe: three), people for weeks (Stripe: 30 days),
and a backfill fetches what is older still; until it is deleted, an event tells that it is a repetition."""


class ApiToken(BaseModel):
    """Who may use the console: a name in the audit trail, and what it may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["viewer", "operator"]
    token: Secret | None = Field(None, exclude=True)
    """Only as it is read: its hash is kept in its place."""
    token_hash: Secret | None = None
    """`sha256:` and 64 hexadecimal digits, as `refund-ledger token` writes it."""

    @field_validator("token_hash")
    @classmethod
    def _of_sha256(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not re.fullmatch("sha256:[0-9a-f]{64}", given.get_secret_value()):
            raise ValueError("has to be sha256: and 64 hexadecimal digits; `refund-ledger token` makes one")
        return given

    @model_validator(mode="after")
    def _hashed(self) -> Self:
        if (self.token is None) == (self.token_hash is None):
            raise ValueError("give either token (or token_file) or token_hash; `refund-ledger token` makes one")
        if self.token is None:
            return self
        hashed = SecretStr(hash_of(self.token.get_secret_value()))
        return self.model_copy(update={"token": None, "token_hash": hashed})

    @property
    def digest(self) -> bytes:
        """SHA-256 of the token."""
        assert self.token_hash
        return bytes.fromhex(self.token_hash.get_secret_value().removeprefix("sha256:"))


def hash_of(token: str) -> str:
    """The token as `token_hash` has it. Tokens are random and long, so that no slow hash is needed."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


class Retention(BaseModel):
    """How long events are kept as they arrived; their facts are kept for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cut_bodies_after: Timeout | None = None
    """When the body of an interpreted event is cut; None: never."""
    delete_events_after: Timeout | None = None
    """When a cut event is deleted; None: never."""

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        cut, delete = self.cut_bodies_after, self.delete_events_after
        if delete is not None and (cut is None or cut > delete):
            raise ValueError("delete_events_after needs a cut_bodies_after that is no longer: a cut event is deleted")
        if delete is not None and delete < DELETE_MIN:
            raise ValueError(f"delete_events_after is under {DELETE_MIN.days}d: so long a gateway may send it again")
        return self


# Several hosts are separated by commas. What a password holds must not be taken for another part, and be shown.
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:,@/?#]*)(:[0-9]{1,5})?"
_POSTGRESQL = re.compile(
    rf"postgresql://([^@/?#]*@)?{_HOST}(,{_HOST})*(/[^@/?#]*)?(\?([^@#&=]+=[^@#&=]*(&[^@#&=]+=[^@#&=]*)*)?)?", re.ASCII
)


class Settings(BaseSettings):
    """The whole file but for the sources, which the registry of sources validates."""

    # Durations are exact; a default is written as people write it, and validated.
    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    # It may hold a password, so it is not shown.
    database_url: str = Field("sqlite:///data/refund-ledger.db", repr=False)
    """`sqlite:////absolute/path` or `postgresql://…`."""
    grace_period: Duration = "24h"  # type: ignore[assignment]
    pending_limit: Duration = "7d"  # type: ignore[assignment]
    ledger_start: Moment | None = None
    public_bind: BindAddress = Bind("0.0.0.0", 8080)  # noqa: S104 - the one door that is meant to be open
    sync_bind: BindAddress = Bind("127.0.0.1", 8081)
    console_bind: BindAddress = Bind("127.0.0.1", 8082)
    max_body: Size = "1MiB"  # type: ignore[assignment]
    body_timeout: Timeout = "10s"  # type: ignore[assignment]
    report_timezone: TimeZone = "UTC"
    """In which a month of the finance report begins and ends."""
    retention: Retention = Retention()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    api_tokens: dict[str, ApiToken] = Field(default_factory=dict)
    customer_notice: CustomerNotice | None = None
    notices: dict[str, Receiver] = Field(default_factory=dict)
    """Whom to tell of exceptions, by name."""
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    """As written, secrets included; validated by the registry of sources."""

    @field_validator("database_url")
    @classmethod
    def _of_a_kind_we_know(cls, url: str) -> str:
        if url.startswith("postgresql://"):
            if not _POSTGRESQL.fullmatch(url):
                raise ValueError(
                    "write postgresql://user:password@host:5432/database, and in a name or password"
                    " / as %2F, ? as %3F, # as %23, @ as %40"
                )
            return url
        if not re.fullmatch(r"sqlite:///[^?#\x00]+", url) or url == "sqlite:///:memory:":
            raise ValueError("write sqlite:///path, sqlite:////absolute/path or postgresql://user@host/database")
        return url

    @field_validator("api_tokens")
    @classmethod
    def _different(cls, tokens: dict[str, ApiToken]) -> dict[str, ApiToken]:
        if len({token.token_hash for token in tokens.values()}) != len(tokens):
            raise ValueError("two names have the same token; nobody could tell who acted")
        return tokens

    @field_validator("notices")
    @classmethod
    def _named(cls, receivers: dict[str, Receiver]) -> dict[str, Receiver]:
        if wrong := [name for name in receivers if not re.fullmatch(r"[a-z0-9_]{1,64}", name)]:
            raise ValueError(f"{wrong[0]!a} is not a name for a receiver; use a-z, 0-9 and _")
        return receivers

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature, as are the next four
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `config.layers` read.

        The sources that come with pydantic-settings would guess at JSON inside the tables of the sources (a token of
        digits became a number), stop at the first mistake, pass over unknown names, and know no `*_file`.
        """
        return (init_settings,)

    def with_paths_from(self, folder: Path) -> "Settings":
        """A relative SQLite path counts from the folder of the configuration file."""
        if not self.database_url.startswith("sqlite:///"):
            return self
        path = folder / self.database_url.removeprefix("sqlite:///")
        return self.model_copy(update={"database_url": f"sqlite:///{path}"})


def settings_of(raw: Raw) -> Settings | None:
    """The settings; None where they have mistakes, which are added to the problems of `raw`."""
    try:
        return Settings(**raw.values).with_paths_from(raw.folder)
    except ValidationError as error:
        raw.problems.extend(explain(error, Settings))
        return None


def blanked(settings: Settings) -> dict[str, Any]:
    """The settings to be shown: secrets as asterisks, and no sources."""
    shown = settings.model_dump(mode="json", exclude={"sources"}, exclude_none=True)
    url = re.sub(r"//([^/@:]*):[^/]*@", r"//\1:**********@", settings.database_url)
    shown["database_url"] = re.sub(r"\?.*", "?**********", url)  # an option may be a password
    return shown
