"""What the operating system says of a failure, without what its errors in Python quote."""

import os
import socket

from config.values import Bind


def in_words(error: OSError) -> str:
    """Its own name of the failure. Python's text of it may tell addresses and paths."""
    if isinstance(error, socket.gaierror):  # has numbers of its own
        return str(error.strerror)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return os.strerror(error.errno) if error.errno else f"no connection ({type(error).__name__})"


def listening(key: str, bind: Bind, *, backlog: int = 128) -> socket.socket:
    """A socket that listens at the address. Raises OSError, which names it and its key in the configuration."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        return socket.create_server(bind, family=family, backlog=backlog)
    except OSError as error:
        raise OSError(error.errno, in_words(error), f"{key} = '{bind}'") from error
