"""What a network does with its lists, on PostgreSQL: import, segment, audience, variants and the freeze."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.app import App
from newsletter.publishing import start_issue
from newsletter.tables import Block, BlockKind, Delivery, Issue, IssueState, Variant
from subscribers import attributes, lists, people, segments, suppression
from subscribers.audience import Audience, audience_counts
from subscribers.imports import batches, importing
from subscribers.imports.importing import import_file
from subscribers.tables import Basis, ImportBatch, Subscriber

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ZONE = "Europe/London"
PEOPLE = 2_500  # more than two chunks


@pytest.fixture
def imported(app_on_postgresql: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """A list of people by import; one of them is suppressed and one row is refused."""
    monkeypatch.setattr(importing, "CHUNK_ROWS", 1_000)
    app, path = app_on_postgresql, tmp_path / "people.csv"
    rows = [f"p{n}@example.org,Ann,{'Dudley' if n % 2 else 'Élan'},{n}" for n in range(PEOPLE)]
    path.write_text("\n".join(["Email,First name,Town,Age", *rows, "nobody,X,Dudley,1"]))
    with app.database.write() as session:
        lists.create(session, "members", at=NOW)
        suppression.suppress(
            session, pepper=app.keys.pepper, address="p1@example.org", reason="unsubscribed", evidence="e", at=NOW
        )
    result = import_file(
        app.database, path, list_name="members", basis=Basis.CONSENT, evidence="forms", actor="t",
        pepper=app.keys.pepper, now=NOW, errors_folder=tmp_path,
    )  # fmt: skip
    assert (result.read, result.new, result.suppressed, result.refused) == (PEOPLE + 1, PEOPLE - 1, 1, 1)
    return app


def test_an_audience_counts_whom_it_mails(imported: App) -> None:
    audience = Audience(lists=("members",), segments=("age < 10",), exclude_segments=("town = 'élan'",))
    with imported.database.read() as session:
        counts = audience_counts(session, audience, now=NOW, timezone=ZONE)
        tree = segments.resolve(session, "town >= 'É'")
        condition = segments.condition(session, tree, now=NOW, timezone=ZONE)
        assert session.query(Subscriber).where(condition).count() == PEOPLE // 2
    assert counts["mailed"] == counts["matched"]  # 'élan' is not 'Élan': only ASCII letters are without case


def test_a_freeze_gives_everybody_the_variant_that_fits(imported: App) -> None:
    with imported.database.write() as session:
        issue = Issue(
            slug="spring", state=IssueState.DRAFT, subject="Our news", preheader="", language="en-GB",
            letter="Dear all", letter_name="", letter_role="", section_order=[], planned=0,
            audience={"lists": ["members"]}, created_at=NOW, edited_at=NOW, edited_by="ann",
        )  # fmt: skip
        words = {"text": "For Dudley", "by": "Ann"}
        issue.blocks.append(
            Block(section="news", position=1, kind=BlockKind.QUOTE, audience="town = 'dudley'", payload=words)
        )
        session.add(issue)
        session.flush()
        issue_id = issue.id
    assert start_issue(imported, issue_id, approve_as="ann") == PEOPLE - 1
    with imported.database.read() as session:
        texts = {variant.id: variant.text for variant in session.query(Variant)}
        assert len(texts) == 2
        for delivery in session.query(Delivery).limit(50):
            odd = int(delivery.address.partition("@")[0][1:]) % 2 == 1
            assert ("For Dudley" in texts[delivery.variant_id]) is odd


def test_an_import_is_undone(imported: App) -> None:
    with imported.database.write() as session:
        result = batches.undo(session, session.query(ImportBatch).one(), actor="t", why="wrong list", at=NOW)
        assert result.removed == PEOPLE - 1
    with imported.database.read() as session:
        assert session.query(Subscriber).count() == 0


def test_an_import_changes_withdraws_and_is_undone(imported: App, tmp_path: Path) -> None:
    """Text with everything that the format of COPY escapes comes out as it went in; what went in goes out again."""
    path = tmp_path / "second.csv"
    notes = ["back\\slash", "\\N", "\\.", "a\\tb", "Zoë's ‘note’", "NULL"]
    rows = [f"p{n + 10}@example.org,{note},,enabled" for n, note in enumerate(notes)]
    rows += ["p20@example.org,,,unsubscribed", "new@example.org,x,press;volunteer,cleaned", "yan@example.org,x,press,"]
    path.write_text("\n".join(["email,note,tags,status", *rows]))
    given = {"list_name": "members", "basis": Basis.CONSENT, "evidence": "forms", "actor": "t", "now": NOW}
    result = import_file(imported.database, path, pepper=imported.keys.pepper, **given)  # type: ignore[arg-type]
    assert (result.new, result.changed, result.suppressed) == (1, len(notes), 2)
    with imported.database.read() as session:
        ids = [people.find(session, f"p{n + 10}@example.org").id for n in range(len(notes))]
        found = attributes.values_of(session, ids)
        assert [found[i]["note"] for i in ids] == notes
    with imported.database.write() as session:
        undone = batches.undo(session, batches.get(session, 2), actor="t", why="wrong", at=NOW)
    assert (undone.removed, undone.restored, undone.lifted, undone.kept) == (1, len(notes) + 1, 2, [])
    with imported.database.write() as session:  # the ids that the import took are not given out again
        people.add(session, pepper=imported.keys.pepper, address="by-hand@example.org", at=NOW)
