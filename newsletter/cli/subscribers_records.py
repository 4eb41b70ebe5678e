"""The verbs of `newsletter subscribers` that change consent or end a record."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli.list_text import basis_option, collected_option, evidence_option
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from subscribers.tables import Subscriber

SOURCE = "command line"


def put_on_list(
    app: App,
    session: Session,
    person: Subscriber,
    list_name: str,
    *,
    basis: str,
    evidence: str,
    collected_at: datetime | None,
) -> None:
    """Subscribe somebody; refused while a suppression stands or the basis is not shown."""
    from newsletter.cli.list_text import day_of
    from subscribers import joining, lists
    from subscribers.tables import Basis

    joining.join(
        session,
        person,
        lists.get_open(session, list_name),
        basis=Basis(basis),
        evidence=evidence,
        source=SOURCE,
        actor=app.actor,
        at=app.now(),
        charity_number=app.config.organisation.charity_number,
        collected_on=day_of(collected_at),
        also_who_left=True,
    )


def set_value(app: App, session: Session, person: Subscriber, field: str, value: str) -> None:
    """Change one field or attribute of a person."""
    from subscribers import attributes, people, preferences

    if field == "address":
        people.change_address(session, person, value, pepper=app.keys.pepper, at=app.now())
    elif field in set(preferences.Choice):
        choice, today = preferences.Choice(field), app.now().astimezone(app.config.organisation.zone).date()
        chosen = {choice: preferences.read(choice, value, today=today)}
        preferences.change(session, person, chosen, source=SOURCE, actor=app.actor, at=app.now())
    else:
        attribute = attributes.get(session, field)
        attributes.store(session, person, attribute, attributes.read_values(attribute, value))


@click.command()
@click.argument("address")
@click.argument("list_name", metavar="LIST")
@basis_option
@evidence_option
@collected_option
@pass_context
def subscribe(
    context: Context, address: str, list_name: str, basis: str, evidence: str, collected_at: datetime | None
) -> None:
    """Put somebody on a list, with the basis and what shows it.

    Example: newsletter subscribers subscribe ann@example.org members --basis consent --evidence "form of 2 May"
    """
    from newsletter.cli.list_text import done, evidence_of
    from subscribers import people

    app = context.app
    evidence = evidence_of(context, basis, evidence)
    with app.database.write() as session:
        person = people.find(session, address)
        put_on_list(app, session, person, list_name, basis=basis, evidence=evidence, collected_at=collected_at)
    document = {"address": person.address, "list": list_name, "state": "subscribed"}
    done(context.output, document, f"{person.address} is on {list_name}.")


@click.command()
@click.argument("address")
@click.argument("list_name", metavar="[LIST]", required=False)
@click.option("--evidence", default="asked for it", show_default=True, metavar="TEXT", help="How they asked.")
@pass_context
def unsubscribe(context: Context, address: str, list_name: str | None, evidence: str) -> None:
    """Take somebody off one list, or off all and never mail them again.

    Example: newsletter subscribers unsubscribe ann@example.org members --evidence "telephone, 2 November"
    """
    from newsletter.cli.list_text import done
    from subscribers import consent, lists, people

    app = context.app
    with app.database.write() as session:
        person = people.find(session, address)
        mailing_list = lists.get(session, list_name) if list_name else None
        consent.withdraw(session, person, mailing_list, source=SOURCE, actor=app.actor, evidence=evidence, at=app.now())
    document = {"address": person.address, "list": list_name, "state": "unsubscribed"}
    done(context.output, document, f"{person.address} is off {list_name or 'every list'}.")


@click.command()
@click.argument("address")
@click.option("--from", "old", required=True, metavar="LIST", help="The list that they leave.")
@click.option("--to", "new", required=True, metavar="LIST", help="The list that they join.")
@click.option("--evidence", required=True, metavar="TEXT", help="Why the consent covers the other list.")
@pass_context
def move(context: Context, address: str, old: str, new: str, evidence: str) -> None:
    """Move somebody from one list to another, on the same basis.

    Example: newsletter subscribers move ann@example.org --from events --to members --evidence "merged lists"
    """
    from newsletter.cli.list_text import done
    from subscribers import consent, lists, people
    from subscribers.errors import Conflict
    from subscribers.tables import Subscription, SubscriptionState

    if old == new:
        raise click.UsageError(f"{old} is named twice: moving somebody off a list and onto it takes them off.")
    app = context.app
    with app.database.write() as session:
        person = people.find(session, address)
        leaving = lists.get(session, old)
        present = session.get(Subscription, (person.id, leaving.id))
        if present is None or present.state is not SubscriptionState.SUBSCRIBED:
            raise Conflict(f"{person.address} is not subscribed to {old}.")
        basis, since = present.basis.value, present.since
        there = session.get(Subscription, (person.id, lists.get_open(session, new).id))
        if there is not None and there.state is SubscriptionState.UNSUBSCRIBED:
            raise Conflict(f"{person.address} left {new} on {there.since:%Y-%m-%d}; moving does not undo that.")
        put_on_list(app, session, person, new, basis=basis, evidence=evidence, collected_at=since)
        consent.withdraw(session, person, leaving, source="move", actor=app.actor, evidence=evidence, at=app.now())
    done(context.output, {"address": person.address, "from": old, "to": new}, f"Moved {person.address} to {new}.")


@click.command()
@click.argument("kept")
@click.argument("gone")
@pass_context
def merge(context: Context, kept: str, gone: str) -> None:
    """Join two records of one person into the first; the stricter consent of the two holds.

    Example: newsletter subscribers merge ann@example.org a.jones@example.net
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.send.ended_records import merge_people
    from subscribers import people

    if not context.output.confirm(f"Merge {gone} into {kept}? The record of {gone} ends."):
        return
    app = context.app
    with app.database.write() as session:
        first, second = people.find(session, kept), people.find(session, gone)
        gone_hash = second.address_hash
        merge_people(session, first, second, actor=app.actor, at=app.now())
        app.audit.record(
            session, Action.PERSON_MERGED, "person", person=first.address_hash, merged_hash=gone_hash.hex()
        )
    done(context.output, {"kept": first.address, "gone": gone}, f"{gone} is now part of {first.address}.")


@click.command()
@click.argument("address")
@click.option("--evidence", default="removed by hand", show_default=True, metavar="TEXT", help="Why.")
@pass_context
def remove(context: Context, address: str, evidence: str) -> None:
    """Delete a person's record; lists that they had left stay left. For a request to be erased use `erase`.

    Example: newsletter subscribers remove ann@example.org
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.send.ended_records import remove_person
    from subscribers import people

    app = context.app
    with app.database.read() as session:
        shown = people.find(session, address).address
    if not context.output.confirm(f"Delete the record of {shown}?"):
        return
    with app.database.write() as session:
        person = people.find(session, address)
        digest = person.address_hash
        remove_person(session, person, evidence=evidence, at=app.now())
        app.audit.record(session, Action.PERSON_REMOVED, "person", person=digest)
    done(context.output, {"removed": shown}, f"Removed {shown}.")


@click.command()
@click.argument("address")
@click.option("--evidence", required=True, metavar="TEXT", help="How they asked; without name or address.")
@pass_context
def erase(context: Context, address: str, evidence: str) -> None:
    """Erase a person at their request; only a keyed hash stays, so that no import brings them back.

    Example: newsletter subscribers erase ann@example.org --evidence "letter of 2 November"
    """
    from newsletter.cli.list_text import done
    from newsletter.personal_data.erasing import erase_address
    from newsletter.personal_data.erasing_files import forget_in_files, older_copies

    shown = address.strip()
    if not context.output.confirm(f"Erase {shown} for good?"):
        return
    app = context.app
    erased = erase_address(app, address, evidence=evidence)
    left = [
        *erased.left,
        *(f"the file {path}" for path in forget_in_files(app.workspace.outbox, erased.addresses).left),
    ]
    words = "Erased. Backups made before today still hold the person until they are deleted."
    older = older_copies(app.workspace, app.database)
    document = {"erased": True, "deliveries": erased.copies, "left": left, "older_copies": older}
    done(context.output, document, words)
    for what in left if not context.output.as_json else ():
        context.output.warn(f"The address still stands in {what}.")
    for what in older if not context.output.as_json else ():
        context.output.warn(f"Made before, so it may hold the person: {what}.")


VERBS = (subscribe, unsubscribe, move, merge, remove, erase)
