"""`newsletter retention`: forget what is older than it is kept."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs)
def command() -> None:
    """Forget what is older than it is kept.

    Example: newsletter retention run --dry-run
    """


@command.command()
@click.option("--dry-run", is_flag=True, help="Count what would be forgotten; change nothing.")
@pass_context
def run(context: Context, dry_run: bool) -> None:
    """Forget by each rule what is due; `newsletter work` does the same once a day.

    The ages stand below [retention] in config.toml. Suppressions, the ledger's lines and the audit log stay for ever.

    Example: newsletter retention run --dry-run
    """
    from newsletter.personal_data import retention

    output = context.output
    found = retention.due(context.app) if dry_run else retention.run(context.app)
    rows = [{"rule": each.rule.name, "count": each.count, "what": each.rule.what} for each in found]
    if output.as_json:
        output.data(rows)
        return
    output.table([{**row, "count": f"{row['count']:,}"} for row in rows], ["rule", "count", "what"], empty="")
    if dry_run:
        output.note("Nothing was changed.")
