"""Wrong values of each setting: at least five a setting, as texts of the environment and as values of TOML.

A new setting needs a row here, or tests/config/test_every_setting.py fails.
"""

from __future__ import annotations

from typing import Final

#: A text that no message may repeat, in pieces of four characters.
SECRET: Final = "Xq7vJw9kZt"

#: Python or TOML reads the second half as numbers, and an operator means other ones or none.
_WHOLE: Final = [
    *("http", "-1", "1.5", "0x10", "1e400", "99999999999999999999", f"{SECRET}"),
    *("10.000", "10,000", "3_000", "+3000", "1e3", "3000.", "3000.0", "3 000", "３０００", "٣٠٠٠", "9" * 5000),
]
_WHOLE_TOML: Final = [
    *("true", '"http"', "-1", "1.5", "[1]", "1979-05-27", "nan"),
    *("3000.0", "1e3", "0.0", '"10.000"', '"3_000"', '"+3000"', '""'),
]
_TEXT: Final = ["a\nb", " a", "a ", "a\x07b", "a" * 257, "\udcff"]
_TEXT_TOML: Final = ["5", "true", "[]", "{ a = 1 }", '""', '" a"', "1.5"]
#: A path is taken as it stands: no program changes it before the server reads it.
_UNLIKELY: Final = [
    *(
        " /srv/x",
        "/srv/x ",
        '"/srv/x"',
        "'/srv/x'",
        "/srv/x'",
        "“/srv/x”",
        "file:///srv/x",
        "~/x",
        "~me/x",
        "$HOME/x",
        "/srv/${X}",
    ),
    *("%S/x", "/srv/%S", "/srv/%i/x"),
]
_PATH: Final = ["a\nb", "\x07", "a\tb", "/x\x1b[31m", "\udcff", *_UNLIKELY]
_PATH_TOML: Final = [
    *("5", "true", "[]", "{ a = 1 }", '"a\\nb"', "1.5"),
    *('""', '" "', '"~/x"', '"$HOME/x"', "'\"/srv/x\"'", '"%S/x"'),
]
_CHOICE: Final = ["maybe", "2", "-", "yes please", f"{SECRET}", "tru e"]
_CHOICE_TOML: Final = ['"maybe"', "7", "[]", "{ a = 1 }", "1.5", f'"{SECRET}"']
_TIME: Final = ["1y", "0", "-5", "1.5h", "367d", "soon", "24 h", f"{SECRET}"]
_TIME_TOML: Final = ['"1y"', "0", "-5", "1.5", "[]", "true", f'"{SECRET}"']
_SECRET: Final = [
    " ",
    "\u200b\u200b",
    "\x07",
    "\x00",
    "-----BEGIN RSA PRIVATE KEY-----",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC",
    "\udcff" + SECRET,
]
_SECRET_TOML: Final = ["5", "true", '""', "{ a = 1 }", '"-----BEGIN PUBLIC KEY-----"', '["\\u0000"]', "1.5"]
_PASSWORD: Final = [
    f"{SECRET}\n",
    f"\x07{SECRET}",
    "x" * 8193,
    f"\udcff{SECRET}",
    f"{SECRET}\r\n{SECRET}",
    f"{SECRET}\u200b",
    f"\ufeff{SECRET}",
]
_PASSWORD_TOML: Final = ["5", "true", '""', "[]", "{ a = 1 }", f'"{SECRET}\\n"']
_URLS: Final = [
    SECRET,
    f"http://u:{SECRET}@host/x",
    "{scheme}://u:a/" + SECRET + "@host/0",
    "{scheme}://u:a@" + SECRET + "@host/0",
    "{scheme}://u:a#" + SECRET + "@host/0",
    "{scheme}://u:a?" + SECRET + "@host/0",
    "{scheme}://u:a[" + SECRET + "@host/0",
    "{scheme}://u:a%" + SECRET + "@host/0",
    "{scheme}://u:a " + SECRET + "@host/0",
    "{scheme}://u:" + SECRET + "@host:99999/0",
    "{scheme}://u:" + SECRET + "@host:port/0",
    "{scheme}://u:" + SECRET + "\n@host/0",
]
_URLS_TOML: Final = ["5", "true", "[]", '""', f'"{SECRET}"']
_ADDRESS: Final = ["localhost", "1.2.3", "127.0.0.1:80", "::1::", SECRET, "224.0.0.1", "255.255.255.255", "ff02::1"]
_HOST: Final = ["a b", "h:5432", "user@host", "http://h", "a\nb", f"u:{SECRET}@h", "h..x", f"{'h' * 64}.x", "a.b..", ".h"]
_LIST: Final = ["a,b", "1;2", "[1]", SECRET, "1,x"]
_LIST_TOML: Final = ['["a"]', "{ a = 1 }", "[[1]]", "[true]", f'["{SECRET}"]']
_BRACKETS: Final = ["[db]", "[]", "[fe80::zz]:5432", "[v1.x]", "[127.0.0.1]", "h,[::1", "[::1],[x]", "::1]", "[[::1]]", "[::1]x"]

#: By setting: wrong texts of its variable, and wrong values of its key in TOML.
WRONG: Final[dict[str, tuple[list[str], list[str]]]] = {
    "SCOREBOARD_ENV": (_CHOICE, _CHOICE_TOML),
    "SCOREBOARD_DATA_DIR": ([*_PATH, "/dev/null", "/" + "a" * 300], [*_PATH_TOML, '"/dev/null"']),
    "SCOREBOARD_CONFIG_FILE": ([*_PATH, "/nowhere/a", "/", "/dev/null/a"], []),
    "SCOREBOARD_ACTIONS_FILE": ([*_PATH, "/nowhere/a", "/"], [*_PATH_TOML, '"/nowhere/a"']),
    "SCOREBOARD_BOARDS_FILE": ([*_PATH, "/nowhere/a", "/"], [*_PATH_TOML, '"/nowhere/a"']),
    "SCOREBOARD_FAILPOINT": ([*_TEXT, "committed"], _TEXT_TOML),
    "LOG_LEVEL": (_CHOICE, _CHOICE_TOML),
    "BIND_ADDRESS": (_ADDRESS, [*_TEXT_TOML, '"localhost"']),
    "PORT": ([*_WHOLE, "65536"], [*_WHOLE_TOML, "65536"]),
    "WEBSOCKET_PORT": ([*_WHOLE, "65536"], [*(one for one in _WHOLE_TOML if one != '""'), "65536"]),
    "CORS_ORIGIN": (["a", "https://h/x", "https://", "h:80", f"https://u:{SECRET}@h"], _LIST_TOML),
    "TRUSTED_PROXIES": ([*_LIST, "0.0.0.0/0", "::/0"], [*_LIST_TOML, '["0.0.0.0/0"]']),
    "PUBLIC_BOARD": (_CHOICE, _CHOICE_TOML),
    "DB_HOST": ([*_HOST, "a,", ",b", "a,b c", "a, b"], _TEXT_TOML),
    "DB_PORT": ([*_WHOLE, "0"], [*_WHOLE_TOML, "0"]),
    "DB_NAME": (_TEXT, _TEXT_TOML),
    "DB_USER": (_TEXT, _TEXT_TOML),
    "DB_PASSWORD": (_PASSWORD, _PASSWORD_TOML),
    "DATABASE_URL": (
        [
            *(url.format(scheme="postgresql") for url in _URLS),
            *(f"postgresql://u:{SECRET}@{host}/db" for host in _BRACKETS),
            *(f"sqlite:///{path}" for path in _UNLIKELY),
        ],
        _URLS_TOML,
    ),
    "REDIS_HOST": ([*_HOST, "/run/redis"], _TEXT_TOML),
    "REDIS_PORT": ([*_WHOLE, "0"], [*_WHOLE_TOML, "0"]),
    "REDIS_PASSWORD": (_PASSWORD, _PASSWORD_TOML),
    "REDIS_CA_FILE": (_PATH, _PATH_TOML),
    "REDIS_URL": (
        [url.format(scheme="redis") for url in _URLS]
        + ["redis://h?ssl=true", "redis://h?ssl_cert_reqs=none", "redis://h/x", "unix:///s?db=x", f"rediss://h/0?x={SECRET}"]
        + [
            "unix://",
            "unix:///",
            "unix://s",
            "unix://s/x",
            "unix:///s%20",
            "unix:///$X/s",
            "redis://",
            "redis://:p@",
            "rediss:///0",
        ]
        + ["redis://:6379/0", "redis://h/2?db=1", "redis://h?db=1&db=1", "redis://h..x/0", f"redis://{'h' * 64}/0"],
        _URLS_TOML,
    ),
    "JWT_SECRET": (_SECRET, _SECRET_TOML),
    "JWT_SECRETS_OLD": (["a,\x00", *_SECRET[1:]], [*(one for one in _SECRET_TOML if one != '""'), "[5]"]),
    "JWT_EXPIRATION": (_TIME, _TIME_TOML),
    "JWT_ISSUER": (_TEXT, _TEXT_TOML),
    "JWT_AUDIENCE": (_TEXT, _TEXT_TOML),
    "ACTION_SIGNATURE_SECRET": (_SECRET, _SECRET_TOML),
    "ACTION_SIGNATURE_SECRETS_OLD": (["a,\x00", *_SECRET[1:]], [*(one for one in _SECRET_TOML if one != '""'), "[5]"]),
    "ACTION_EXPIRATION_MS": ([*_WHOLE, "0"], [*_WHOLE_TOML, "0"]),
    "SCORE_MILESTONES": ([*_LIST, "10.000", "1,1e3", "3_000", "+5"], [*_LIST_TOML, "[100.0]", '["1.000"]']),
    "LOG_AWARDS": (_CHOICE, _CHOICE_TOML),
    "PUBLIC_OPENAPI": (_CHOICE, _CHOICE_TOML),
    "METRICS_TOKEN": ([*_SECRET, "a b", "päss"], _SECRET_TOML),
    "METRICS_ADDRESS": ([*_LIST, "localhost", "10.0.0.1/8", "127.0.0.1:9100"], _LIST_TOML),
    "HTTP_IDLE_TIMEOUT": ([*_TIME, "2d"], [*_TIME_TOML, "86401"]),
    "RATE_LIMIT_POLICY": (_CHOICE, _CHOICE_TOML),
    "RATE_LIMIT_WINDOW": ([*_TIME, "2d"], [*_TIME_TOML, "86401"]),
    **{
        name: ([*_WHOLE, "0"], [*_WHOLE_TOML, "0"])
        for name in (
            "RATE_LIMIT_MAX_REQUESTS",
            "RATE_LIMIT_INITIALIZE_MAX",
            "RATE_LIMIT_OPEN_ACTIONS_MAX",
            "RATE_LIMIT_SETTINGS_MAX",
            "RATE_LIMIT_IP_MAX",
            "RATE_LIMIT_GLOBAL_MAX",
            "BROADCAST_INTERVAL_MS",
            "SCORE_UPDATES_PER_TICK_MAX",
            "SOCKETS_PER_ADDRESS_MAX",
            "SOCKETS_MAX",
            "HTTP_CONNECTIONS_MAX",
            "SOCKET_EVENTS_PER_SECOND_MAX",
        )
    },
}
