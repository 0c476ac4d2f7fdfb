"""`dlq token`: who may use the manager."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dlq.cli import options
from dlq.cli.output import Column, note, print_json, print_line, print_table
from dlq.errors import NotFound

app = typer.Typer(help="Make, list and revoke bearer tokens.", no_args_is_help=True)


class RoleName(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


TokensFile = Annotated[Path | None, typer.Option("--tokens-file", help="Default: DLQ_TOKENS_FILE.")]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="Whose it is; shown in the history.")],
    role: Annotated[
        RoleName, typer.Option(help="viewer reads, operator replays, admin deletes.")
    ] = RoleName.OPERATOR,
    tokens_file: TokensFile = None,
    as_json: options.Json = False,
) -> None:
    """Make a token and print it: the only time it is seen.

    A running manager takes it at once. From the first token on, every request needs one.

    \b
    Example:
      export DLQ_TOKEN=$(dlq token create --name me --role admin)
    """
    from dlq.manager.tokens import Role, create_token

    path = _path(tokens_file)
    token = create_token(path, name, Role(role.value))
    if as_json:
        print_json({"name": name, "role": role.value, "token": token})
        return
    print_line(token)
    note(f"Kept (hashed) in {path}. Use it as DLQ_TOKEN; it cannot be shown again.")


@app.command("list")
def list_all(tokens_file: TokensFile = None, as_json: options.Json = False) -> None:
    """List the tokens by name, without themselves."""
    from dlq.manager.tokens import list_tokens

    path = _path(tokens_file)
    tokens = list_tokens(path)
    if as_json:
        print_json(
            [{"name": t.name, "role": t.role.value, "created_at": t.created_at} for t in tokens]
        )
    elif not tokens:
        note(f"No tokens in {path}: whoever is on this machine may do everything.")
    else:
        columns = (Column("NAME", whole=True), Column("ROLE"), Column("MADE"))
        print_table(columns, ((t.name, t.role.value, t.created_at) for t in tokens))


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tokens_file: TokensFile = None,
    as_json: options.Json = False,
) -> None:
    """Take a token back. A running manager refuses it at once.

    \b
    Example:
      dlq token revoke me
    """
    from dlq.manager.tokens import revoke_token

    path = _path(tokens_file)
    if not revoke_token(path, name):
        raise NotFound(f"There is no token named {name!r} in {path}. `dlq token list` lists them.")
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        print_line(f"Revoked {name}.")


def _path(given: Path | None) -> Path:
    from dlq.settings import Settings

    return Settings.load(tokens_file=given).tokens_file
