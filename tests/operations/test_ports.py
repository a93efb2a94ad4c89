"""Ports that cannot be opened: one line that names the setting, and an exit status that says whether to try again."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
from twisted.internet.error import CannotListenError

from scoreboard.service.endpoints import explained
from tests.operations.test_start import GIVEN, started


@pytest.mark.parametrize(("setting", "other"), [("PORT", "WEBSOCKET_PORT"), ("WEBSOCKET_PORT", "PORT")])
def test_a_port_that_is_in_use_is_named_with_its_setting_and_tried_again(setting: str, other: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started({setting: str(port), other: "0", **GIVEN}, tmp_path)
    assert ended.stderr == f"scoreboard: {setting} {port} on 127.0.0.1 is taken by another program\n"
    assert (ended.returncode, "Traceback" in ended.stdout) == (69, False)


def test_an_address_of_another_machine_is_named_with_its_setting_and_tried_again(tmp_path: Path) -> None:
    ended = started({"BIND_ADDRESS": "203.0.113.7", "PORT": "0", "WEBSOCKET_PORT": "", **GIVEN}, tmp_path)
    assert ended.stderr == "scoreboard: BIND_ADDRESS: 203.0.113.7 is not an address of this machine\n"
    assert (ended.returncode, "Traceback" in ended.stdout) == (69, False)


def test_an_address_of_an_interface_that_is_not_there_is_named_with_its_setting_and_tried_again(tmp_path: Path) -> None:
    ended = started({"BIND_ADDRESS": "fe80::1%nope0", "PORT": "0", "WEBSOCKET_PORT": "", **GIVEN}, tmp_path)
    assert ended.stderr == "scoreboard: BIND_ADDRESS: fe80::1%nope0 is not an address of this machine\n"
    assert (ended.returncode, "Traceback" in ended.stdout) == (69, False)


def test_a_port_that_is_not_allowed_is_not_tried_again() -> None:
    """For root no port is forbidden, so the test makes the error that other users get."""
    refused = explained(CannotListenError("127.0.0.1", 80, OSError(errno.EACCES, "Permission denied")), "PORT")
    assert str(refused) == "PORT 80 on 127.0.0.1 may not be opened by this user (below 1024 it needs CAP_NET_BIND_SERVICE)"
    assert not refused.is_temporary
