"""The commands, wired together. Modules of commands import what is heavy only when run."""

from __future__ import annotations

import typer

from dlq.cli import (
    backup,
    delete,
    demo,
    doctor,
    edit,
    export,
    groups,
    jobs,
    messages,
    policy,
    providers,
    publish,
    purge,
    rebuild,
    regroup,
    replay,
    serve,
    spool,
    stats,
    token,
    topology,
    worker,
)
from dlq.cli.exits import HELP
from dlq.cli.logs import log_errors_only

LOOK, ACT, RUN, CARE = "Look", "Act", "Run", "Take care"

app = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("songnodes-dlq"))
        raise typer.Exit


@app.callback(epilog=HELP)
def dlq(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """A dead-letter queue: capture failures, see what broke, replay once and safely.

    DLQ_URL says where the manager is (default http://127.0.0.1:8024), DLQ_TOKEN who you are.

    \b
    First steps:
      dlq demo --exit          the whole story in a minute
      dlq serve                run the manager
      dlq groups               what broke, by cause
      dlq replay --fingerprint F
    """
    log_errors_only()


app.add_typer(groups.app, name="groups", rich_help_panel=LOOK)
app.command("list", rich_help_panel=LOOK)(messages.list_messages)
app.command("show", rich_help_panel=LOOK)(messages.show_message)
app.command("stats", rich_help_panel=LOOK)(stats.show_stats)
app.command("export", rich_help_panel=LOOK)(export.export)

app.command("replay", rich_help_panel=ACT)(replay.replay)
app.add_typer(jobs.app, name="jobs", rich_help_panel=ACT)
app.add_typer(providers.app, name="providers", rich_help_panel=ACT)
app.command("edit", rich_help_panel=ACT)(edit.edit)
app.command("delete", rich_help_panel=ACT)(delete.delete)
app.command("purge", rich_help_panel=ACT)(purge.purge)
app.command("publish", rich_help_panel=ACT)(publish.publish)

app.command("serve", rich_help_panel=RUN)(serve.serve)
app.command("worker", rich_help_panel=RUN)(worker.worker)
app.command("demo", rich_help_panel=RUN)(demo.demo)

app.command("backup", rich_help_panel=CARE)(backup.backup)
app.command("doctor", rich_help_panel=CARE)(doctor.doctor)
app.add_typer(policy.app, name="policy", rich_help_panel=CARE)
app.command("rebuild", rich_help_panel=CARE)(rebuild.rebuild)
app.command("regroup", rich_help_panel=CARE)(regroup.regroup)
app.command("restore", rich_help_panel=CARE)(backup.restore)
app.add_typer(spool.app, name="spool", rich_help_panel=CARE)
app.add_typer(topology.app, name="topology", rich_help_panel=CARE)
app.add_typer(token.app, name="token", rich_help_panel=CARE)
