"""`scoreboard token`: makes tokens to try the server with, and explains tokens that a login service made."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.context import cli_context
from cli.exit_codes import FOUND_WRONG, USAGE_ERROR, CliError
from cli.output import JsonOption, cell, fields, print_json, show, table, utc_time
from cli.pasted_token import token_in
from cli.time_options import parse_duration_s
from scoreboard.domain.display_names import NAME_CHARS_MAX, display_name
from scoreboard.domain.players import USER_ID
from scoreboard.domain.token_faults import TokenFault

if TYPE_CHECKING:
    from rich.table import Table

    from scoreboard.service.token_report import TokenReport

#: More than any token has; a whole file by mistake is not read.
_STDIN_CHARS_MAX: Final = 65_536
#: The end of the year 9999.
_SECONDS_MAX: Final = 253_402_300_799

app = typer.Typer(no_args_is_help=True)


class RoleName(StrEnum):
    """What a token may do."""

    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"
    SPECTATOR = "spectator"


@app.command("mint")
def issue_token(
    typer_context: typer.Context,
    user: Annotated[str, typer.Option("--user", metavar="USER", help="The user id that the token is for.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The name shown on the board; else the id.")] = None,
    role: Annotated[RoleName, typer.Option("--role", metavar="ROLE", help="user, admin, service or spectator.")] = RoleName.USER,
    lifetime: Annotated[
        str | None, typer.Option("--life", metavar="SPAN", help="15m, 24h; at most JWT_EXPIRATION, which is the default.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Make the token in production, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a token that this installation's server accepts, and print it.

    It is signed with JWT_SECRET (in development: the secret kept in the data
    directory), so run the command where the server runs, with the same settings.
    A token lets its holder act as the player: in production this needs --yes.

    \b
    Examples:
      TOKEN=$(scoreboard token mint --user user-123 --name Ada)
      curl -H "Authorization: Bearer $TOKEN" localhost:3000/api/v1/scores/me
    """
    if USER_ID.fullmatch(user) is None:
        raise typer.BadParameter("must be 1 to 64 of A-Z a-z 0-9 _ . : -", param_hint="--user")
    name = name or user
    if len(name) > NAME_CHARS_MAX or display_name(name, "") != name:
        raise typer.BadParameter(f"must be at most {NAME_CHARS_MAX} characters, none a control character", param_hint="--name")
    ctx = cli_context(typer_context)
    settings = ctx.settings(signs=True)
    if settings.environment == "production" and not yes:
        raise CliError(USAGE_ERROR, "in production, the holder of this token can play as this player; add --yes to make it")
    life_s = settings.jwt_expiration_s if lifetime is None else parse_duration_s(lifetime, "--life")
    if not 1 <= life_s <= settings.jwt_expiration_s:
        raise typer.BadParameter(f"must be from 1s to JWT_EXPIRATION ({settings.jwt_expiration_s}s)", param_hint="--life")
    token = ctx.load_admin().issue_token(settings, user, name, role.value, life_s)
    if as_json:
        print_json({"token": token, "user_id": user, "username": name, "role": role.value, "life_s": life_s})
    else:
        typer.echo(token)


@app.command("check")
def check_token(
    typer_context: typer.Context,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOKEN", show_default=False, help="The token. Without it, or with -, the command reads stdin."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain a token, and why the server would refuse it.

    It shows each check of the server, which secret signed the token, and what the
    token claims. It compares with the settings and the clock of this machine, so
    run it where the server runs. Other users can see a command's arguments: give
    it the token on stdin. It ends with 1 if the server would refuse the token.
    A client gets no reason; the metric token_refusals_total and the log at debug
    have it.

    \b
    Examples:
      scoreboard token check < token.txt
    """
    token, left_out = token_in(sys.stdin.read(_STDIN_CHARS_MAX) if given in (None, [], ["-"]) else " ".join(given))
    if not token:
        raise typer.BadParameter("give a token as the argument or on stdin", param_hint="TOKEN")
    ctx = cli_context(typer_context)
    report = ctx.load_admin().report_token(ctx.settings(signs=True), token, ctx.now_ms)
    if as_json:
        print_json({**_as_object(report), "left_out": left_out})
    else:
        show(fields(**_facts(report, ctx.now_ms)))
        show("", _check_table(report))
        show("", cell(_verdict(report, left_out)))
    if not report.accepted:
        raise typer.Exit(FOUND_WRONG)


def _as_object(report: TokenReport) -> dict[str, object]:
    return {
        "accepted": report.accepted,
        "faults": [fault.value for fault, passed in report.checks.items() if passed is False],
        "not_checked": [fault.value for fault, passed in report.checks.items() if passed is None],
        "found": report.found,
        "signed_by": report.signed_by,
        "hint": report.hint,
        "claims": report.claims,
        "other_claims": report.other_claims,
        "shown_as": report.shown_as,
    }


def _facts(report: TokenReport, now_ms: int) -> dict[str, str]:
    """Who signed it, and what it claims, by the names of the claims."""
    facts = {"signed by": report.signed_by or _unsigned(report)}
    for claim, value in report.claims.items():
        facts[claim] = _time(value, now_ms) if claim in ("iat", "exp", "nbf") else str(value)
    if report.shown_as is not None and report.shown_as != report.claims["username"]:
        facts["shown as"] = report.shown_as
    if report.other_claims:
        facts["not read"] = ", ".join(report.other_claims)
    return facts


def _unsigned(report: TokenReport) -> str:
    """Why no setting is named as the signer. A signature that was not checked may be a right one."""
    if report.checks[TokenFault.SIGNATURE] is None:
        return "not known: the signature was not checked, so the claims are unproved"
    return "no secret of these settings, so the claims are unproved"


def _time(value: object, now_ms: int) -> str:
    """A numeric date as a time of the day and as a distance from now."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _SECONDS_MAX:
        return str(value)
    seconds = int(value) - now_ms // 1000
    distance = timedelta(seconds=abs(seconds))
    return f"{utc_time(int(value) * 1000)} UTC ({f'in {distance}' if seconds > 0 else f'{distance} ago'})"


def _check_table(report: TokenReport) -> Table:
    checks = table("check", "result")
    for fault, passed in report.checks.items():
        checks.add_row(fault.value, "ok" if passed else "not checked" if passed is None else f"refused: {fault.said}")
    return checks


def _verdict(report: TokenReport, left_out: Sequence[str]) -> str:
    left = f" Left out before the checks, because the server refuses a token with it: {', '.join(left_out)}." if left_out else ""
    if report.accepted:
        return f"The server accepts it, unless the player is suspended (scoreboard player show).{left}"
    found = f" Found: {report.found}." if report.found else ""
    return f"The server refuses it.{found}{f' Perhaps {report.hint}.' if report.hint else ''}{left}"
