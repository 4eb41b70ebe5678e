"""`newsletter dkim`: the keys that sign mail, and what DNS must say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from newsletter.dkim_keys import DkimKeys, DnsRecord


@click.group(cls=Verbs)
def command() -> None:
    """Keys that sign mail (DKIM), where your mail server does not sign it.

    Example: newsletter dkim keygen
    """


@command.command()
@click.option("--selector", metavar="NAME", help="What the keys are called in DNS. Default: this month.")
@click.option("--domain", metavar="DOMAIN", help="Where the records go. Default: dkim.domain, or that of from_address.")
@pass_context
def keygen(context: Context, selector: str | None, domain: str | None) -> None:
    """Make new keys and print the DNS records to publish.

    There are two, RSA and Ed25519. Nothing is signed by them until config.toml says so, and keys that exist are kept.

    Example: newsletter dkim keygen
    """
    from newsletter.audit.log import Action

    app, keys = context.app, context.app.keys.dkim
    domain = _domain(context, domain)
    before = keys.names
    _refuse_an_open_choice(context, before)
    name = selector or keys.unused_name(app.now())
    with app.database.write() as session:
        keys.create(name)
        app.audit.record(session, Action.DKIM_KEYGEN, f"dkim {name}")
    _show(context, keys.records(name, domain))
    context.output.note(_what_next(name, domain, is_first=not before))


@command.command()
@click.argument("selector", metavar="[NAME]", required=False)
@click.option("--domain", metavar="DOMAIN", help="Where the records go. Default: dkim.domain, or that of from_address.")
@pass_context
def show(context: Context, selector: str | None, domain: str | None) -> None:
    """Print the DNS records of all keys; say which sign.

    Example: newsletter dkim show
    """
    from newsletter.errors import NotFound

    keys = context.app.keys.dkim
    domain = _domain(context, domain)
    if selector and selector not in keys.names:
        raise NotFound("pair of DKIM keys", selector, hint=f"There are: {', '.join(keys.names) or 'none'}.")
    names = (selector,) if selector else keys.names
    _show(context, [record for name in names for record in keys.records(name, domain)])
    context.output.note(_who_signs(context, keys))


def _domain(context: Context, given: str | None) -> str:
    from pydantic import TypeAdapter, ValidationError

    from newsletter.config.loading import in_words
    from newsletter.config.values import Domain, is_placeholder
    from newsletter.errors import Conflict

    try:
        domain: str = TypeAdapter(Domain).validate_python(given or context.app.config.dkim_domain)
    except ValidationError as error:
        raise click.BadParameter(in_words(error.errors()[0]), param_hint="--domain") from None
    if is_placeholder(domain):
        raise Conflict(
            "organisation.from_address is still to be filled in, so the domain that signs is not known.",
            hint="Write it into config.toml, or name the domain with --domain.",
        )
    return domain


def _refuse_an_open_choice(context: Context, names: Sequence[str]) -> None:
    """
    Keep new keys from being a second choice for what signs now.

    Raises:
        Conflict: When the keys there are sign without being named.
    """
    from newsletter.errors import Conflict

    dkim = context.app.config.dkim
    if dkim.enabled and not dkim.selector and len(names) == 1:
        raise Conflict(
            f"The keys '{names[0]}' sign now, and dkim.selector does not say so: beside new ones that would be open.",
            hint=f'Write selector = "{names[0]}" below [dkim] in config.toml, then run this again.',
        )


def _show(context: Context, records: Sequence[DnsRecord]) -> None:
    if context.output.as_json:
        context.output.data([asdict(record) for record in records])
        return
    for record in records:
        strings = [f'"{string}"' for string in record.strings]
        if len(strings) == 1:
            context.output.show(f"{record.name}. IN TXT {strings[0]}")
        else:
            context.output.show(f"{record.name}. IN TXT (\n  " + "\n  ".join(strings) + " )")


def _what_next(name: str, domain: str, *, is_first: bool) -> str:
    lines = ["[dkim]", "enabled = true", *([] if is_first else [f'selector = "{name}"'])]
    settings = "\n".join(f"    {line}" for line in lines)
    return (
        f"\nMade the keys '{name}' in secrets/. Make a backup of them.\n"
        f"1. Put these two records into the DNS of {domain}.\n"
        f"2. When DNS has them, write into config.toml:\n{settings}\n"
        "   and start `newsletter serve` again."
    )


def _who_signs(context: Context, keys: DkimKeys) -> str:
    from newsletter.dkim_keys import DkimKeyUnusable, chosen_name

    dkim = context.app.config.dkim
    if not keys.names:
        return "There are no DKIM keys. Make some: newsletter dkim keygen"
    if not dkim.enabled:
        return "\nNothing is signed here: dkim.enabled is false."
    try:
        return f"\nNew mail is signed by '{chosen_name(keys, dkim.selector)}'."
    except DkimKeyUnusable as error:
        return f"\n{error.message} {error.hint}"
