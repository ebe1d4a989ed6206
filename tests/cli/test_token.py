"""`refund-ledger token`."""

import tomllib

import pytest
from click.testing import CliRunner

from cli.main import cli
from config.settings import Settings, hash_of


def test_a_token_is_shown_once_with_the_configuration_that_knows_its_hash() -> None:
    said = [CliRunner().invoke(cli, ["token", "--name", "ann b", "--role", "viewer"]).output for _ in range(2)]
    tokens = [text.splitlines()[2].strip() for text in said]
    assert tokens[0] != tokens[1]
    for token, text in zip(tokens, said, strict=True):
        assert text.count(token) == 1
        written = tomllib.loads(text[text.index("[api_tokens") :])
        assert written["api_tokens"]["ann b"] == {"role": "viewer", "token_hash": hash_of(token)}
        assert Settings(**written).api_tokens["ann b"].role == "viewer"


@pytest.mark.parametrize("name", ["Ännä", 'a"b', "a'b", "a.b", "a\\b", "😀"])
def test_the_configuration_reads_the_name_as_it_was_given(name: str) -> None:
    text = CliRunner().invoke(cli, ["token", "--name", name]).output
    assert list(tomllib.loads(text[text.index("[api_tokens") :])["api_tokens"]) == [name]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\u202eb"])
def test_a_name_that_nobody_could_read_is_refused(name: str) -> None:
    assert CliRunner().invoke(cli, ["token", "--name", name]).exit_code == 2
