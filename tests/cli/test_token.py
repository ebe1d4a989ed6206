"""`refund-ledger token`."""

import tomllib

from click.testing import CliRunner

from cli.main import cli
from config.settings import Settings, hash_of


def test_a_token_is_shown_once_with_the_configuration_that_knows_its_hash() -> None:
    said = [CliRunner().invoke(cli, ["token", "--name", "ann b", "--role", "viewer"]).output for _ in range(2)]
    tokens = [text.splitlines()[2].strip() for text in said]
    assert tokens[0] != tokens[1]
    for token, text in zip(tokens, said, strict=True):
        assert text.count(token) == 1
        # TOML quotes a name with a blank in it.
        written = tomllib.loads(text[text.index("[api_tokens") :].replace("'", '"'))
        assert written["api_tokens"]["ann b"] == {"role": "viewer", "token_hash": hash_of(token)}
        assert Settings(**written).api_tokens["ann b"].role == "viewer"
