"""The configured sources: what is refused at start, and what pairing is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.problems import ConfigError
from ledger.instants import DAY, SECOND
from sources import registry
from sources.registry import Configuration

SECRET = "hunter2-is-not-shown"
STRIPE = f'[sources.stripe]\nkind = "stripe"\nwebhook_secrets = ["{SECRET}"]\n'
SHOP = f'[sources.shop]\nkind = "infigo"\nwebhook_token = "{SECRET}"\n'


def load(text: str, folder: Path, **environ: str) -> Configuration:
    file = folder / "refund-ledger.toml"
    file.write_text(text, encoding="utf-8")
    return registry.load(file, environ)


def problems(text: str, folder: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder, **environ)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def test_the_kinds_are_found_without_loading_a_vendor_package() -> None:
    script = "from sources.registry import kinds; import sys; print(sorted(kinds()), 'stripe' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    kinds, loaded = done.stdout.rsplit(" ", 1)
    assert {"infigo", "stripe"} <= set(registry.kinds())
    assert kinds == str(sorted(registry.kinds()))
    assert loaded.strip() == "False"


def test_every_kind_says_what_it_is() -> None:
    for kind, cls in registry.kinds().items():
        assert cls.kind == kind
        assert cls.role in ("gateway", "storefront")
        assert len(set(cls.used_events)) == len(cls.used_events)
        assert not {"authorization", "x-webhook-token"} & set(cls.kept_headers)


def test_sources_are_made_by_name(tmp_path: Path) -> None:
    made = load(STRIPE + SHOP, tmp_path).sources

    assert {name: source.kind for name, source in made.items()} == {"stripe": "stripe", "shop": "infigo"}
    assert made["shop"].name == "shop"


def test_keys_of_a_source_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("whsec_new\nwhsec_old\n")
    made = load(
        '[sources.stripe]\nkind = "stripe"\nwebhook_secrets_file = "secrets"\n' + SHOP,
        tmp_path,
        REFUND_LEDGER_SOURCES__STRIPE__LIVEMODE="false",
        REFUND_LEDGER_SOURCES__STRIPE__STORES='["shop"]',
        REFUND_LEDGER_SOURCES__SHOP__WEBHOOK_TOKEN="000123",
    )

    stripe: Any = made.sources["stripe"].settings
    shop: Any = made.sources["shop"].settings
    assert stripe.webhook_secrets == (SecretStr("whsec_new"), SecretStr("whsec_old"))
    assert (stripe.livemode, stripe.stores) == (False, ("shop",))
    assert shop.webhook_token == SecretStr("000123")


@pytest.mark.parametrize(
    "given", ['["whsec_new", "whsec_old"]', ' [ "whsec_new",\n"whsec_old" ]\n', "whsec_new\nwhsec_old"]
)
def test_several_secrets_may_be_json_or_lines_wherever_they_come_from(given: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text(given)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "sources__stripe__webhook_secrets").write_text(given)
    stripe = '[sources.stripe]\nkind = "stripe"\n'
    for text, environ in (
        (stripe, {"REFUND_LEDGER_SOURCES__STRIPE__WEBHOOK_SECRETS": given}),
        (stripe, {"REFUND_LEDGER_SECRETS_DIR": str(tmp_path / "directory")}),
        (f'{stripe}webhook_secrets_file = "secrets"', {}),
    ):
        made: Any = load(text, tmp_path, **environ).sources["stripe"].settings
        assert made.webhook_secrets == (SecretStr("whsec_new"), SecretStr("whsec_old"))


@pytest.mark.parametrize("given", [f'["{SECRET}"', f"['{SECRET}']", f"[{SECRET}]"])
def test_a_list_of_secrets_that_is_no_json_is_not_taken_for_a_secret(given: str, tmp_path: Path) -> None:
    (problem,) = problems(STRIPE, tmp_path, REFUND_LEDGER_SOURCES__STRIPE__WEBHOOK_SECRETS=given)
    assert problem.startswith("sources.stripe.webhook_secrets: begins as a list in JSON does, and is none: write ")


MISTAKES = [
    ('[sources.s]\nkind = "stripe"', "sources.s.webhook_secrets: is missing; add the signing secret"),
    ('[sources.s]\nkind = "stripe"\nwebhook_secrets = []', "sources.s.webhook_secrets: is empty; add the signing"),
    ('[sources.s]\nkind = "stripe"\nwebhook_secrets = ["", "a"]', "sources.s.webhook_secrets.0: is empty"),
    ('[sources.s]\nkind = "stripe"\nwebhook_secrets = ["a", " \\t"]', "sources.s.webhook_secrets.1: is empty"),
    ('[sources.s]\nkind = "infigo"', "sources.s.webhook_token: is missing; add a long random token"),
    ('[sources.s]\nkind = "infigo"\nwebhook_token = ""', "sources.s.webhook_token: is empty"),
    (f"[sources.s]\nwebhook_token = '{SECRET}'", "sources.s.kind: is missing; choose from "),
    ('[sources.s]\nkind = "strip"', "sources.s.kind = 'strip': is not a kind of source; did you mean stripe?"),
    ("[sources.s]\nkind = 3", "sources.s.kind = 3: is not a kind of source"),
    (STRIPE + f"api_kye = '{SECRET}'", "sources.stripe.api_kye: is not a key; did you mean api_key?"),
    (STRIPE + 'stores = ["shop"]', "sources.stripe.stores: 'shop' is not a storefront among the sources"),
    (STRIPE + "stores = []", "sources.stripe.stores: is empty; name at least one or leave it out"),
    (STRIPE + 'stores = ["stripe"]', "sources.stripe.stores: 'stripe' is not a storefront among the sources"),
    (STRIPE + 'livemode = "maybe"', "sources.stripe.livemode = 'maybe': has to be a valid boolean"),
    (STRIPE + "requests_per_second = 0", "sources.stripe.requests_per_second = 0: has to be greater than"),
    (STRIPE + 'poll_interval = "never"', "sources.stripe.poll_interval = 'never': write a whole number"),
    (
        '[sources.opayo]\nkind = "opayo"\nvendor = "v"\nuser = "u"\npassword = "p"\npoll_interval = "off"\n',
        "sources.opayo.poll_interval = 'off': this source is only polled: give an interval, as \"15m\", or take",
    ),
    (
        '[sources.mollie]\nkind = "mollie"\napi_key = "live_k"\npoll_interval = "off"\n',
        'sources.mollie: poll_interval is "off" without webhook_secrets: give an interval, as "15m", or add a secret',
    ),
    (STRIPE + 'poll_interval = "0s"', "sources.stripe.poll_interval = '0s': may not be zero"),
    (STRIPE + 'grace_period = "soon"', "sources.stripe.grace_period = 'soon': write a whole number"),
    (STRIPE + 'api_base = "http://api.example.com"', "sources.stripe.api_base: write https://…"),
    (STRIPE + 'api_base = "https://api.example.com/v1"', "sources.stripe.api_base: write scheme, host and port only"),
    (STRIPE + f'api_base = "https://u:{SECRET}@h"', "sources.stripe.api_base: write scheme, host and port"),
    (STRIPE + 'api_base = "https://[::1"', "sources.stripe.api_base: write scheme, host and port"),
    (SHOP + 'payment_methods = { "P.S" = "stripe" }', "'P.S': 'stripe' is not a gateway among the sources"),
    (
        STRIPE + SHOP + 'payment_methods = { "P.S" = "stripe" }\noffline_methods = ["P.S"]',
        "sources.shop.payment_methods.'P.S': is among offline_methods as well",
    ),
    (SHOP + f'api_token = "{SECRET}"', "sources.shop.api_token: api_base and api_token go together"),
    (SHOP + 'api_base = "https://h/store/services/api"', "sources.shop.api_token: api_base and api_token go together"),
    (SHOP + 'currency = "pounds"', "sources.shop.currency = 'pounds': "),
    (SHOP.replace("shop", "Shop"), "sources.Shop: is not a name for a source"),
    (SHOP.replace("shop", '"a b"'), "sources.'a b': is not a name for a source"),
    (SHOP.replace("shop", "operator"), "sources.operator: is not a name for a source"),
    (f'sources = {{ shop = "{SECRET}" }}', "sources.shop: has to be a valid dictionary"),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line[:60] for _, line in MISTAKES])
def test_a_mistake_in_a_source_stops_the_start_with_a_line(text: str, line: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path)

    assert len(found) == 1
    assert line in found[0]
    assert len(found[0].splitlines()) == 1


def test_mistakes_of_settings_and_sources_are_reported_together(tmp_path: Path) -> None:
    found = problems('grace_period = "x"\n[sources.a]\nkind = "stripe"\n[sources.b]\nkind = "infigo"', tmp_path)

    assert [line.split(":")[0] for line in found] == [
        "grace_period = 'x'",
        "sources.a.webhook_secrets",
        "sources.b.webhook_token",
    ]


def test_an_empty_secret_file_opens_no_endpoint(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    assert problems('[sources.shop]\nkind = "infigo"\nwebhook_token_file = "token"', tmp_path) == [
        "sources.shop.webhook_token: is empty: a secret has to be given"
    ]


def test_all_mistakes_are_told_at_once_each_in_one_line(tmp_path: Path) -> None:
    found = problems(
        STRIPE.replace(SECRET, " ")
        + 'stores = ["nowhere"]\napi_kye = "x"\n'
        + SHOP.replace("webhook_token", "webhook_tokn")
        + 'api_token = "x"\ncurrency = "pounds"\nofflin_methods = 1\n'
        + 'payment_methods = { P = "nothing", Q = "stripe" }\n',
        tmp_path,
    )

    assert sorted(problem.split(":")[0] for problem in found) == [
        "sources.shop.api_token",
        "sources.shop.currency = 'pounds'",
        "sources.shop.offlin_methods",
        "sources.shop.payment_methods.P",
        "sources.shop.webhook_token",
        "sources.shop.webhook_tokn",
        "sources.stripe.api_kye",
        "sources.stripe.stores",
        "sources.stripe.webhook_secrets.0",
    ]


def test_a_broken_source_is_not_missed_by_the_others_as_well(tmp_path: Path) -> None:
    broken = SHOP.replace("webhook_token", "webhook_tokn")

    assert len(problems(STRIPE + 'stores = ["shop"]\n' + broken, tmp_path)) == 2  # misspelt, and so missing


@pytest.mark.parametrize("base", ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000"])
def test_plain_http_is_for_loopback(base: str, tmp_path: Path) -> None:
    settings: Any = load(STRIPE + f'api_base = "{base}"', tmp_path).sources["stripe"].settings

    assert settings.api_base == base.rstrip("/")


def test_a_poll_can_be_switched_off(tmp_path: Path) -> None:
    settings: Any = load(STRIPE + 'poll_interval = "off"', tmp_path).sources["stripe"].settings

    assert settings.poll_interval is None


def test_pairing_is_told_what_it_has_to_know(tmp_path: Path) -> None:
    configuration = load(
        'grace_period = "1h"\npending_limit = "2d"\nledger_start = "1970-01-02T00:00:00Z"\n'
        + STRIPE
        + 'stores = ["shop"]\ngrace_period = "10s"\n'
        + SHOP
        + 'payment_methods = { "Payments.Stripe" = "stripe" }\noffline_methods = ["Payments.PurchaseOrder"]\n'
        + 'api_base = "https://h/store/services/api"\napi_token = "t"',
        tmp_path,
    )

    policy = registry.policy(configuration, created_at=0)

    assert (policy.grace, policy.pending_limit, policy.ledger_start) == (3600 * SECOND, 2 * DAY, DAY)
    assert policy.grace_of == {"stripe": 10 * SECOND}
    assert policy.gateways["stripe"].stores == frozenset({"shop"})
    assert policy.stores["shop"].payment_methods == {"Payments.Stripe": "stripe"}
    assert policy.stores["shop"].offline_methods == frozenset({"Payments.PurchaseOrder"})
    assert policy.stores["shop"].has_api


def test_a_store_whose_poll_is_off_has_no_api(tmp_path: Path) -> None:
    api = 'api_base = "https://h/store/services/api"\napi_token = "t"\npoll_interval = "off"'

    assert not registry.policy(load(SHOP + api, tmp_path), created_at=0).stores["shop"].has_api


def test_the_ledger_starts_ninety_days_before_its_database(tmp_path: Path) -> None:
    configuration = load(STRIPE + SHOP, tmp_path)

    assert registry.policy(configuration, created_at=100 * DAY).ledger_start == 10 * DAY
    assert registry.policy(configuration, created_at=DAY).ledger_start == 0
    assert registry.policy(configuration, created_at=DAY).gateways["stripe"].stores is None
    assert not registry.policy(configuration, created_at=DAY).stores["shop"].has_api


def test_what_is_shown_is_without_secrets(tmp_path: Path) -> None:
    configuration = load(STRIPE + SHOP, tmp_path)

    shown = registry.blanked(configuration)

    assert SECRET not in str(shown) + repr(configuration)
    assert shown["sources"]["stripe"]["webhook_secrets"] == ["**********"]
    assert shown["sources"]["shop"]["poll_interval"] == "5m"
