"""Fixtures of several test files."""

from __future__ import annotations

import signal
import sys

import pytest

from sim import cli

# A shell starts what is in its background deaf to Ctrl-C, and so would be the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def command(monkeypatch, capsys):
    """The command in this process: arguments in; exit code, stdout and stderr out."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["thinbook", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run
