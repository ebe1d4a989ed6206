"""The settings of notices: what is refused, and in which words."""

import re
from pathlib import Path

import pytest

from config.notices import ADDRESS, DEFAULT_TEMPLATE, PLACEHOLDERS, template_of
from config.problems import ConfigError
from sources.registry import blanked, load
from tests.sync.build import configured

MAIL = {"CUSTOMER_NOTICE__SMTP_HOST": "mail.example.com", "CUSTOMER_NOTICE__SENDER": "Print <refunds@example.com>"}
CHAT_URL = "https://hooks.example.com/T/B/secret?key=1"
CHAT = {"NOTICES__CHAT__KIND": "slack", "NOTICES__CHAT__URL": CHAT_URL}
HOOK = {"NOTICES__OPS__KIND": "webhook", "NOTICES__OPS__URL": "https://ops.example.com/in",
        "NOTICES__OPS__SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}  # fmt: skip


def problems(**more: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        configured(**more)
    return refused.value.problems


def test_nobody_is_told_by_default() -> None:
    settings = configured().settings
    assert (settings.customer_notice, settings.notices) == (None, {})


def test_what_is_needed_is_little_and_secrets_are_blanked() -> None:
    made = configured(**MAIL, **CHAT, **HOOK, CUSTOMER_NOTICE__SMTP_USERNAME="u", CUSTOMER_NOTICE__SMTP_PASSWORD="pw-1")
    notice = made.settings.customer_notice
    assert notice
    assert (notice.port, notice.kinds, notice.sender.name) == (587, ("refund",), "Print")
    assert notice.model_copy(update={"smtp_security": "tls"}).port == 465
    shown = str(blanked(made))
    assert not [secret for secret in ("pw-1", "hooks.example.com", "MfKQ") if secret in shown]


def test_the_default_template_names_everything_there_is() -> None:
    made = template_of(DEFAULT_TEMPLATE)
    assert [name for name in PLACEHOLDERS if f"${name}" not in made.subject + made.body] == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"CUSTOMER_NOTICE__SENDER": "a@b.example, c@d.example"}, "customer_notice.sender: write an address, as"),
        ({"CUSTOMER_NOTICE__SENDER": "X\nBcc: y <a@b.example>"}, "customer_notice.sender: write an address, as"),
        ({"CUSTOMER_NOTICE__SMTP_SECURITY": "none"}, 'customer_notice: smtp_security = "none" is allowed on loopback'),
        (
            {"CUSTOMER_NOTICE__SMTP_PASSWORD": "x"},
            "customer_notice.smtp_password: smtp_username and smtp_password go together",
        ),
        ({"CUSTOMER_NOTICE__TEMPLATE": "Hello"}, 'customer_notice.template: write "Subject: …" in the first line'),
        ({"CUSTOMER_NOTICE__TEMPLATE": "Subject: x\nHello"}, 'customer_notice.template: write "Subject: …" in the'),
        ({"CUSTOMER_NOTICE__TEMPLATE": "Subject: x\n\n5 $ less"}, "customer_notice.template: has a $ without a name"),
        ({"CUSTOMER_NOTICE__TEMPLATE": "Subject: x\n\n$name"}, "customer_notice.template: $name stands for nothing"),
        ({"CUSTOMER_NOTICE__STORES__SHOP__TEMPLATE": "x"}, 'customer_notice.stores.shop.template: write "Subject: …"'),
        ({"CUSTOMER_NOTICE__EXCEPT_SOURCES": '["shop"]'}, "customer_notice.except_sources: 'shop' is not a gateway"),
        ({"CUSTOMER_NOTICE__STORES__STRIPE__BRAND": "x"}, "customer_notice.stores.stripe: is not a storefront"),
        ({"NOTICES__CHAT__URL": "http://hooks.example.com/x"}, "notices.chat.url: write https://…"),
        ({"NOTICES__CHAT__URL": "https://user@hooks.example.com/x"}, "notices.chat.url: write https://…"),
        ({"NOTICES__CHAT__URL": "https://:password@hooks.example.com/x"}, "notices.chat.url: write https://…"),
        ({"NOTICES__CHAT__URL": "https://[oops/x"}, "notices.chat.url: write https://…"),
        ({"NOTICES__CHAT__SECRET": "whsec_x"}, "notices.chat: a slack receiver has no secret"),
        ({"NOTICES__OPS__SECRET": "whsec_c2hvcnQ="}, 'notices.ops: a webhook needs a secret: write "whsec_"'),
        ({"NOTICES__OPS__SECRET": "whsec_ü"}, "notices.ops.secret: has blanks around it, or a character"),
        ({"NOTICES__OPS__SECRET": "whsec_*"}, 'notices.ops: a webhook needs a secret: write "whsec_"'),
        ({"NOTICES__A-B__KIND": "slack", "NOTICES__A-B__URL": "https://x.example"}, "notices: 'a-b' is not a name"),
    ],
)
def test_a_mistake_is_named_with_its_mend(more: dict[str, str], problem: str) -> None:
    [told] = problems(**MAIL | CHAT | HOOK | more)
    assert told.startswith(problem)
    assert "hooks.example.com" not in told


def test_the_page_shows_the_default_and_its_examples_can_be_loaded(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "notices.md").read_text()
    assert f"```\n{DEFAULT_TEMPLATE}```" in page
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    sources = [
        '[sources.paypal]\nkind = "paypal"\nwebhook_ids = ["1AB23456CD789012E"]',
        '[sources.shop]\nkind = "infigo"\nwebhook_token = "t"',
    ]
    files = {
        "smtp-password": "password",
        "refund-message.txt": DEFAULT_TEMPLATE,
        "slack-url": CHAT_URL,
        "ops-secret": HOOK["NOTICES__OPS__SECRET"],
        "ledger.toml": "\n".join([*sources, *examples]),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    settings = load(tmp_path / "ledger.toml", {}).settings
    assert set(settings.notices) == {"ops", "chat"}
    assert settings.customer_notice


@pytest.mark.parametrize(
    "text",
    ["a@b.example\r\nBcc: c@d.example", "a b@c.example", "<a@b.example>", "a@b", "a@b..example", ".a@b.example",
     "a@-b.example", "a,b@c.example", '"a"@b.example', "ä@b.example", "a@b.example ", "a@b.example\n",
     "a" * 250 + "@b.de", "=?utf-8?q?a?=@b.example"],
)  # fmt: skip
def test_what_is_not_a_plain_address_is_none(text: str) -> None:
    assert not ADDRESS.fullmatch(text)


@pytest.mark.parametrize("text", ["a@b.de", "first.last+tag@sub.example.co.uk", "o'neil@example.com"])
def test_a_plain_address_is_one(text: str) -> None:
    assert ADDRESS.fullmatch(text)
