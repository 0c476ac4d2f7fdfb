"""`dlq list` and `dlq show`."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.difference import told
from dlq.cli.output import Column, note, print_fields, print_json, print_line, print_table
from dlq.cli.text import age_since, block, one_line

COLUMNS = (
    Column("ID", whole=True),
    Column("STATE", whole=True),
    Column("TYPE", whole=True, widest=16, from_width=96),
    Column("CATEGORY", whole=True, widest=16, from_width=110),
    Column("AGE", whole=True, right=True),
    Column("TRIES", right=True, from_width=140),
    Column("REPLAYS", right=True, from_width=140),
    Column("CAUSE"),
)


def list_messages(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Skip so many.")] = 0,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    state: options.States = None,
    error_type: options.ErrorType = None,
    category: options.Category = None,
    fingerprint: options.Fingerprint = None,
    source_service: options.SourceService = None,
    matching: options.WhereText = None,
    as_json: options.Json = False,
) -> None:
    """List dead letters, oldest first.

    \b
    Examples:
      dlq list --error-type spotify
      dlq list --state parked --newest --limit 10
      dlq list --category rate_limit | cut -f1
      dlq list --where 'provider:spotify age>1h "token expired"'
    """
    from dlq.cli.manager import Manager

    where = options.where(state, error_type, category, fingerprint, source_service, matching)
    with Manager.from_environment() as manager:
        page = manager.messages(where, limit=limit, offset=offset, newest_first=newest)
    if as_json:
        print_json(page.messages)
        return
    if not page.messages:
        note("Nothing here: no dead letter is as asked for.")
        return
    print_table(COLUMNS, (_row(message) for message in page.messages))
    shown = offset + len(page.messages)
    if shown < page.total:
        note(f"{len(page.messages)} of {page.total}. Next: --offset {shown}")


def show_message(
    message_id: Annotated[
        str, typer.Argument(metavar="ID", help="The message_id.", callback=options.not_empty)
    ],
    as_json: options.Json = False,
) -> None:
    """Show one dead letter with its error, payload, replays and history.

    \b
    Example:
      dlq show 550e8400-e29b-41d4-a716-446655440000
    """
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        message = manager.message(message_id)
    if as_json:
        print_json(message)
        return
    print_fields(_facts(message))
    _print_block("Payload", _pretty(message.get("payload")))
    if message.get("metadata"):
        _print_block("Metadata", _pretty(message["metadata"]))
    if message.get("stack_trace"):
        _print_block("Stack trace", message["stack_trace"])
    _print_edits(message)
    _print_replays(message.get("replays") or [])
    _print_history(message.get("history") or [])


def _row(message: dict[str, Any]) -> tuple[Any, ...]:
    return (
        message["message_id"],
        message.get("state"),
        message["error_type"],
        message.get("category"),
        age_since(message.get("failed_at") or message["timestamp"]),
        message["retry_count"],
        message.get("replay_count"),
        message.get("title") or message["error_message"],
    )


def _facts(message: dict[str, Any]) -> list[tuple[str, Any]]:
    failed_at = message.get("failed_at") or message["timestamp"]
    facts = [
        ("ID", one_line(message["message_id"])),
        ("State", message.get("state")),
        ("Error type", message["error_type"]),
        ("Category", message.get("category")),
        ("Cause", f"{message.get('title')} ({message.get('fingerprint')})"),
        ("Failed", f"{failed_at} ({age_since(failed_at)} ago)"),
        ("Tries", message["retry_count"]),
        ("Replays", message.get("replay_count")),
        ("Next replay", _next_replay(message)),
        ("By itself", message.get("plan_reason")),
        ("Service", message["source_service"]),
        ("Correlation", message.get("correlation_id")),
        ("Exception", message.get("error_class")),
        ("HTTP status", message.get("http_status")),
        ("Retry after", _seconds(message.get("retry_after_s"))),
        ("Error", message["error_message"]),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _next_replay(message: dict[str, Any]) -> str | None:
    at = message.get("next_replay_at")
    if at is None or message.get("state") != "scheduled":
        return None
    if dt.datetime.fromisoformat(at) > dt.datetime.now(dt.UTC):
        return str(at)
    return f"{at}: due; waits for a worker, the pace or the circuit (dlq providers)"


def _seconds(value: Any) -> str | None:
    return None if value is None else f"{value} s"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print_block(title: str, text: str) -> None:
    print_line(f"\n{title}:")
    for line in block(text).split("\n"):
        print_line(f"    {line}".rstrip())


def _print_edits(message: dict[str, Any]) -> None:
    if message.get("original_payload") is not None:
        _print_block("Payload as it arrived", _pretty(message["original_payload"]))
    edits = message.get("edits") or []
    if not edits:
        return
    print_line("\nEdits of the payload:")
    print_table(
        (Column("NO", right=True), Column("AT"), Column("BY"), Column("WHAT"), Column("WHY")),
        ((e["number"], e["at"], e["actor"], told(e["difference"]), e["reason"]) for e in edits),
    )


def _print_replays(replays: list[dict[str, Any]]) -> None:
    if not replays:
        return
    print_line("\nReplays:")
    print_table(
        (
            Column("NO", right=True),
            Column("STARTED"),
            Column("BY"),
            Column("OUTCOME"),
            Column("WORKER"),
            Column("ERROR"),
        ),
        (
            (r["number"], r["started_at"], r["actor"], r["outcome"], r["worker"], r["error"])
            for r in replays
        ),
    )


def _print_history(history: list[dict[str, Any]]) -> None:
    if not history:
        return
    print_line("\nHistory:")
    print_table(
        (Column("AT"), Column("BY"), Column("FROM"), Column("TO"), Column("WHY")),
        ((h["at"], h["actor"], h["from_state"], h["to_state"], h["reason"]) for h in history),
    )
