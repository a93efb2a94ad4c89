"""`scoreboard token`: issue tokens for trying things out. In production, the service that signs players in issues them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer

from cli.context import cli_context
from cli.exit_codes import USAGE_ERROR, CliError
from cli.output import JsonOption, print_json
from cli.time_options import parse_duration_s
from scoreboard.domain.players import USER_ID

_NAME_CHARS_MAX: Final = 64

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
        str | None, typer.Option("--life", metavar="SPAN", help="15m, 24h; JWT_EXPIRATION if left out, and at most.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Mint it in production too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Mint a token that this installation's server accepts, and print it.

    It is signed with JWT_SECRET (in development: the secret kept in the data
    directory), so run it where the server runs, with the same settings. A token
    lets its holder act as the player: in production this needs --yes.

    \b
    Examples:
      TOKEN=$(scoreboard token mint --user user-123 --name Ada)
      curl -H "Authorization: Bearer $TOKEN" localhost:3000/api/v1/scores/me
    """
    if USER_ID.fullmatch(user) is None:
        raise typer.BadParameter("must be 1 to 64 of A-Z a-z 0-9 _ . : -", param_hint="--user")
    name = name or user
    if len(name) > _NAME_CHARS_MAX or not name.isprintable():
        raise typer.BadParameter(f"must be at most {_NAME_CHARS_MAX} characters that can be seen", param_hint="--name")
    ctx = cli_context(typer_context)
    settings = ctx.settings(signs=True)
    if settings.environment == "production" and not yes:
        raise CliError(USAGE_ERROR, "in production, the holder of this token plays as this player; add --yes if you mean it")
    life_s = settings.jwt_expiration_s if lifetime is None else parse_duration_s(lifetime, "--life")
    if not 1 <= life_s <= settings.jwt_expiration_s:
        raise typer.BadParameter(f"must be from 1s to JWT_EXPIRATION ({settings.jwt_expiration_s}s)", param_hint="--life")
    token = ctx.load_admin().issue_token(settings, user, name, role.value, life_s)
    if as_json:
        print_json({"token": token, "user_id": user, "username": name, "role": role.value, "life_s": life_s})
    else:
        typer.echo(token)
