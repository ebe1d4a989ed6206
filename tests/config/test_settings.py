"""The configuration as people write it, and every way to get it wrong."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from config import layers
from config.problems import ConfigError
from config.settings import Settings, blanked, hash_of, settings_of
from config.values import Bind

SECRET = "hunter2-is-not-shown"


def settings(text: str, folder: Path, **environ: str) -> Settings:
    file = folder / "refund-ledger.toml"
    file.write_text(text, encoding="utf-8")
    raw = layers.read(file, environ)
    made = settings_of(raw)
    if raw.problems or made is None:
        raise ConfigError(raw.problems)
    return made


def problems(text: str, folder: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(text, folder, **environ)
    return caught.value.problems


def test_every_key_has_its_default(tmp_path: Path) -> None:
    made = settings("", tmp_path)

    assert made.grace_period == timedelta(hours=24)
    assert made.pending_limit == timedelta(days=7)
    assert made.ledger_start is None
    assert made.report_timezone == "UTC"
    assert (made.retention.cut_bodies_after, made.retention.delete_events_after) == (None, None)
    assert (made.public_bind, made.sync_bind, made.console_bind) == (
        Bind("0.0.0.0", 8080),
        Bind("127.0.0.1", 8081),
        Bind("127.0.0.1", 8082),
    )
    assert (made.max_body, made.body_timeout) == (2**20, timedelta(seconds=10))
    assert made.database_url == f"sqlite:///{tmp_path}/data/refund-ledger.db"


def test_every_key_is_read(tmp_path: Path) -> None:
    made = settings(
        """
        database_url = "postgresql://ledger@db/ledger"
        grace_period = "90s"
        pending_limit = "15m"
        ledger_start = "2026-09-01T02:00:00+02:00"
        public_bind = "[::1]:8080"
        max_body = "64KiB"
        body_timeout = "2s"
        log_level = "debug"
        [api_tokens]
        ops = { role = "operator", token = "t1" }
        """,
        tmp_path,
    )

    assert made.database_url == "postgresql://ledger@db/ledger"
    assert (made.grace_period, made.pending_limit) == (timedelta(seconds=90), timedelta(minutes=15))
    assert made.ledger_start == datetime(2026, 9, 1, tzinfo=UTC)
    assert made.public_bind == Bind("::1", 8080)
    assert made.max_body == 65536
    assert made.api_tokens["ops"].digest == sha256(b"t1").digest()


def test_a_time_may_be_written_as_toml_writes_it(tmp_path: Path) -> None:
    assert settings("ledger_start = 2026-09-01T00:00:00Z", tmp_path).ledger_start == datetime(2026, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///a/b.db", "{folder}/a/b.db"), ("sqlite:////srv/b.db", "/srv/b.db")],
)
def test_a_relative_database_counts_from_the_folder_of_the_file(url: str, path: str, tmp_path: Path) -> None:
    made = settings(f'database_url = "{url}"', tmp_path)

    assert made.database_url == "sqlite:///" + path.format(folder=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///ledger?host=/run/postgresql",
        "postgresql://[::1]:5432/ledger",
        "postgresql://ledger:p%2Fa%40b:c@one:5432,two:5433/ledger?target_session_attrs=primary&ssl=require",
    ],
)
def test_a_postgresql_url_may_be_of_any_form_that_the_driver_takes(url: str, tmp_path: Path) -> None:
    made = settings(f'database_url = "{url}"', tmp_path)
    assert made.database_url == url


MISTAKES = [
    ('grace_period = "1 day"', 'grace_period = \'1 day\': write a whole number with s, m, h or d, as "90s" or "24h"'),
    ("grace_period = 24", 'grace_period = 24: write a whole number with s, m, h or d, as "90s" or "24h"'),
    ('grace_period = "-1h"', "grace_period = '-1h': write a whole number"),
    ('grace_period = "9999d"', "grace_period = '9999d': is longer than ten years"),
    ('body_timeout = "0s"', "body_timeout = '0s': may not be zero"),
    ('max_body = "1MB"', "max_body = '1MB': write a whole number with B, KiB or MiB"),
    ('max_body = "1B"', "max_body = '1B': is not between 1KiB and 64MiB"),
    ('public_bind = "8080"', "public_bind = '8080': write host:port"),
    ('public_bind = "h:99999"', "public_bind = 'h:99999': write host:port"),
    ('public_bind = "::1:80"', "public_bind = '::1:80': write host:port"),
    ('public_bind = "[nonsense]:80"', "public_bind = '[nonsense]:80': write host:port"),
    ('ledger_start = "yesterday"', "ledger_start = 'yesterday': write a time with its zone"),
    ('ledger_start = "2026-09-01T00:00:00"', "write a time with its zone"),
    ("ledger_start = 2026-09-01", "ledger_start: write a time with its zone"),
    ('log_level = "loud"', "log_level = 'loud': has to be 'debug', 'info', 'warning' or 'error'"),
    ('grace_peroid = "1h"', "grace_peroid: is not a key; did you mean grace_period?"),
    ("xyzzy = 1", "xyzzy: is not a key; choose from api_tokens, "),
    ('database_url = "sqlite://"', "database_url: write sqlite:///path"),
    ('database_url = "sqlite:///:memory:"', "database_url: write sqlite:///path"),
    (f'database_url = "mysql://u:{SECRET}@h/db"', "database_url: write sqlite:///path"),
    *(
        (
            f'database_url = "postgresql://{rest}"',
            "database_url: write postgresql://user:password@host:5432/database, and",
        )
        for rest in (
            f"user:123/{SECRET}@h/db",
            f"user:/{SECRET}@h/db",
            f"user:{SECRET}/x@h/db",
            f"user:1?{SECRET}@h/db",
            f"user:1#{SECRET}@h/db",
            f"user@h:{SECRET}/db",
            f"user@[::1/{SECRET}",
            f"user@h/db?{SECRET}",
        )
    ),
    ('api_tokens = { ops = { role = "operator" } }', "api_tokens.ops: give either token"),
    ('api_tokens = { ops = { role = "operator", token = " " } }', "api_tokens.ops.token: is empty"),
    (f'api_tokens = {{ ops = {{ role = "boss", token = "{SECRET}" }} }}', "api_tokens.ops.role: has to be 'viewer'"),
    (f'api_tokens = {{ ops = {{ role = "viewer", tokn = "{SECRET}" }} }}', "api_tokens.ops.tokn: is not a key"),
    (f'api_tokens = "{SECRET}"', "api_tokens: has to be a valid dictionary"),
    (f'api_tokens = {{ ops = "{SECRET}" }}', "api_tokens.ops: "),
    (f'api_tokens = {{ ops = {{ role = "viewer", token = "{SECRET}\\n" }} }}', "api_tokens.ops.token: has blanks"),
    (f'api_tokens = {{ ops = {{ role = "viewer", token = "{SECRET}é" }} }}', "not printable ASCII"),
    (f'sources = "{SECRET}"', "sources: has to be a valid dictionary"),
    (f'sources = {{ shop = "{SECRET}" }}', "sources.shop: has to be a valid dictionary"),
    (f'webhook_token = "{SECRET}"', "webhook_token: is not a key; choose from"),
    ('report_timezone = "Mars/Base"', "report_timezone = 'Mars/Base': is no time zone that this machine knows"),
    ('report_timezone = "../../etc"', "report_timezone = '../../etc': is no time zone"),
    ('report_timezone = "Europe"', "report_timezone = 'Europe': is no time zone"),
    ('retention = { cut_bodies_after = "1 year" }', "retention.cut_bodies_after = '1 year': write a whole number"),
    ('retention = { cut_bodies_after = "0d" }', "retention.cut_bodies_after = '0d': may not be zero"),
    ('retention = { delete_events_after = "500d" }', "retention: delete_events_after needs a cut_bodies_after"),
    (
        'retention = { cut_bodies_after = "9d", delete_events_after = "89d" }',
        "retention: delete_events_after is under 90d",
    ),
    (
        'retention = { cut_bodies_after = "401d", delete_events_after = "400d" }',
        "retention: delete_events_after needs a cut_bodies_after that is no longer",
    ),
    (f'database_url_file = "{SECRET}"', "database_url_file: the file cannot be read: No such file or directory"),
    ('database_url_file = "."', "database_url_file: the file cannot be read: Is a directory"),
    ('database_url_file = "a\\u0000b"', "database_url_file: the file cannot be read: not a path"),
    (f'api_key = "{SECRET}', "is not TOML: "),
    (f"grace_period = 1h\napi_key = {SECRET}", "(at line 1, column "),
    ("x = " + "[" * 5000, "is nested too deeply"),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line[:50] for _, line in MISTAKES])
def test_a_mistake_is_one_line_that_names_key_and_mend(text: str, line: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path)

    assert any(line in problem for problem in found), found
    assert all(len(problem.splitlines()) == 1 for problem in found)
    assert SECRET not in str(found)


def test_two_names_with_one_token_are_refused(tmp_path: Path) -> None:
    tokens = ", ".join(f'{name} = {{ role = "viewer", token = "{SECRET}" }}' for name in ("ann", "bob"))

    assert problems(f"api_tokens = {{ {tokens} }}", tmp_path) == [
        "api_tokens: two names have the same token; nobody could tell who acted"
    ]


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = problems('grace_period = "x"\nmax_body = "y"\nnonsense = 1\na_file = "missing"', tmp_path)

    assert sorted(p.split(":")[0] for p in found) == ["a", "a_file", "grace_period = 'x'", "max_body = 'y'", "nonsense"]


def test_a_missing_file_that_was_named_is_a_problem(tmp_path: Path) -> None:
    raw = layers.read(None, {"REFUND_LEDGER_CONFIG": str(tmp_path / "none.toml")})

    assert raw.problems == [
        f"{tmp_path}/none.toml: the file cannot be read: No such file or directory; refund-ledger init writes one"
    ]


def test_everything_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    raw = layers.read(None, {"REFUND_LEDGER_GRACE_PERIOD": "1h"})

    assert (raw.values, raw.problems, raw.folder) == ({"grace_period": "1h"}, [], tmp_path)


def test_without_a_file_and_an_environment_the_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    [problem] = layers.read(None, {}).problems
    assert problem.startswith(f"{tmp_path}/refund-ledger.toml: the file cannot be read: No such file or directory;")


def test_the_environment_is_over_the_secrets_directory_and_that_over_the_file(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, content in {"grace_period": "2h\n", "pending_limit": "2d\n", ".hidden": "x"}.items():
        (secrets / name).write_text(content)

    made = settings(
        'grace_period = "1h"\npending_limit = "1d"\nbody_timeout = "1s"',
        tmp_path,
        REFUND_LEDGER_SECRETS_DIR=str(secrets),
        REFUND_LEDGER_GRACE_PERIOD="3h",
    )

    assert (made.grace_period, made.pending_limit, made.body_timeout) == (
        timedelta(hours=3),
        timedelta(days=2),
        timedelta(seconds=1),
    )


def test_nested_keys_and_json_come_from_the_environment(tmp_path: Path) -> None:
    tokens = {"ops": {"role": "viewer", "token": "t1"}}
    made = settings(
        "[sources.shop]\nkind = 'infigo'\nwebhook_token = 'old'",
        tmp_path,
        REFUND_LEDGER_API_TOKENS=json.dumps(tokens),
        REFUND_LEDGER_SOURCES__SHOP__WEBHOOK_TOKEN="000123",
        REFUND_LEDGER_SOURCES__SHOP__OFFLINE_METHODS='["a"]',
    )

    assert made.api_tokens["ops"].digest == sha256(b"t1").digest()
    assert made.sources == {"shop": {"kind": "infigo", "webhook_token": "000123", "offline_methods": ["a"]}}


def test_broken_json_in_the_environment_is_one_line_without_its_text(tmp_path: Path) -> None:
    assert problems("", tmp_path, REFUND_LEDGER_API_TOKENS=f'{{"ops": "{SECRET}') == [
        "api_tokens: has to be a valid dictionary"
    ]


def test_json_in_the_environment_may_have_blanks_around_it(tmp_path: Path) -> None:
    made = settings("", tmp_path, REFUND_LEDGER_SOURCES='\n  {"shop": {"kind": "infigo"}}\n')
    assert made.sources == {"shop": {"kind": "infigo"}}


def test_an_unknown_variable_of_ours_is_refused(tmp_path: Path) -> None:
    assert problems("", tmp_path, REFUND_LEDGER_GRACE_PEROID="1h") == [
        "grace_peroid: is not a key; did you mean grace_period?"
    ]


def test_what_kubernetes_adds_for_a_service_of_our_name_is_not_ours(tmp_path: Path) -> None:
    settings(
        "",
        tmp_path,
        REFUND_LEDGER_SERVICE_HOST="10.0.0.1",
        REFUND_LEDGER_SERVICE_PORT_HTTP="80",
        REFUND_LEDGER_PORT="tcp://10.0.0.1:80",
        REFUND_LEDGER_PORT_80_TCP_ADDR="10.0.0.1",
    )


def test_the_environment_reaches_a_name_with_capitals(tmp_path: Path) -> None:
    made = settings(
        'api_tokens = { Ann = { role = "viewer", token = "t1" } }', tmp_path, REFUND_LEDGER_API_TOKENS__ANN__TOKEN="t2"
    )
    assert {name: token.digest for name, token in made.api_tokens.items()} == {"Ann": sha256(b"t2").digest()}


def test_a_table_in_the_environment_is_laid_over_the_one_of_the_file_key_by_key(tmp_path: Path) -> None:
    made = settings(
        '[api_tokens.a]\nrole = "viewer"\ntoken = "t1"',
        tmp_path,
        REFUND_LEDGER_API_TOKENS='{"b": {"role": "operator", "token": "t2"}}',
    )
    assert {name: token.role for name, token in made.api_tokens.items()} == {"a": "viewer", "b": "operator"}


def test_a_key_that_is_a_table_and_a_value_is_refused(tmp_path: Path) -> None:
    found = problems("", tmp_path, REFUND_LEDGER_SOURCES__A="x", REFUND_LEDGER_SOURCES__A__B="y")

    assert "sources.a.b: is inside a, which is given as a value as well" in found


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")

    made = settings('api_tokens = { ops = { role = "viewer", token_file = "token" } }', tmp_path)

    assert made.api_tokens["ops"].digest == sha256(b"from-file").digest()


def test_a_value_and_its_file_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a")
    text = f'api_tokens = {{ ops = {{ role = "viewer", token = "{SECRET}", token_file = "token" }} }}'

    assert problems(text, tmp_path) == ["api_tokens.ops.token_file: token is given as well; keep one of the two"]


def test_a_value_in_the_environment_wins_over_a_file_in_the_toml(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://a/b")

    made = settings('database_url_file = "url"', tmp_path, REFUND_LEDGER_DATABASE_URL="postgresql://c/d")

    assert made.database_url == "postgresql://c/d"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (2**20 + 1)])
def test_a_secret_file_that_is_no_text_is_a_problem(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database_url").write_bytes(content)

    found = problems("", tmp_path, REFUND_LEDGER_SECRETS_DIR=str(tmp_path / "secrets"))

    assert found[0].startswith("REFUND_LEDGER_SECRETS_DIR, file 'database_url': the file is ")


def test_a_missing_secrets_directory_is_a_problem(tmp_path: Path) -> None:
    assert problems("", tmp_path, REFUND_LEDGER_SECRETS_DIR=str(tmp_path / "none")) == [
        "REFUND_LEDGER_SECRETS_DIR: the directory cannot be read: No such file or directory"
    ]


def test_a_token_may_be_given_as_its_hash_and_only_hashes_are_kept(tmp_path: Path) -> None:
    one = settings(f'api_tokens = {{ ops = {{ role = "viewer", token = "{SECRET}" }} }}', tmp_path)
    two = settings(f'api_tokens = {{ ops = {{ role = "viewer", token_hash = "{hash_of(SECRET)}" }} }}', tmp_path)
    assert one == two
    assert one.api_tokens["ops"].token is None


WRONG_HASHES = [
    (f'token_hash = "{SECRET}"', "api_tokens.ops.token_hash: has to be sha256: and 64 hexadecimal digits"),
    (f'token_hash = "{hash_of(SECRET).upper()}"', "api_tokens.ops.token_hash: has to be sha256:"),
    (f'token = "t", token_hash = "{hash_of(SECRET)}"', "api_tokens.ops: give either token"),
]


@pytest.mark.parametrize(("given", "problem"), WRONG_HASHES)
def test_a_hash_that_is_none_is_told_with_its_mend(given: str, problem: str, tmp_path: Path) -> None:
    [told] = problems(f'api_tokens = {{ ops = {{ role = "viewer", {given} }} }}', tmp_path)
    assert told.startswith(problem)
    assert SECRET not in told


def test_what_is_shown_is_without_secrets(tmp_path: Path) -> None:
    made = settings(
        f"""
        database_url = "postgresql://ledger:{SECRET}@db/ledger?password={SECRET}"
        api_tokens = {{ ops = {{ role = "viewer", token = "{SECRET}" }} }}
        grace_period = "36h"
        [sources.shop]
        webhook_token = "{SECRET}"
        """,
        tmp_path,
    )

    shown = blanked(made)

    assert SECRET not in str(shown) + repr(made)
    assert shown["database_url"] == "postgresql://ledger:**********@db/ledger?**********"
    assert shown["grace_period"] == "36h"
    assert shown["public_bind"] == "0.0.0.0:8080"
    assert shown["api_tokens"] == {"ops": {"role": "viewer", "token_hash": "**********"}}


VALUES: Any = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.dates() | st.just(["x"])
TREES: Any = VALUES | st.dictionaries(st.text(max_size=5), VALUES, max_size=2)


@settings_of_hypothesis(max_examples=50)
@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "other\n"]), TREES, max_size=4))
def test_whatever_stands_in_the_file_is_settings_or_problems(values: dict[str, Any]) -> None:
    raw = layers.Raw(Path("/nowhere/refund-ledger.toml"), values)

    assert (settings_of(raw) is None) == bool(raw.problems)
    assert all(len(problem.splitlines()) == 1 for problem in raw.problems)
