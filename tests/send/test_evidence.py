"""What comes back settles a copy by the published table, and never sets one going again."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from newsletter.send.evidence import Evidence, find_delivery, settle
from newsletter.send.states import TRANSITIONS
from newsletter.tables import Delivery
from newsletter.tables import DeliveryState as S


@pytest.mark.parametrize("evidence", Evidence)
@pytest.mark.parametrize("state", S)
def test_evidence_follows_only_edges_of_the_table(sending_app, plan_issue, state, evidence):
    app = sending_app(1)
    plan_issue(app, 1)
    with app.database.write() as session:
        session.execute(update(Delivery).values(state=state))
        settled = settle(session, 1, evidence, at=app.now(), status="5.1.1", text="no such user")
        row = session.get_one(Delivery, 1, populate_existing=True)
        if settled is None:
            assert row.state is state
            assert row.reply_text is None
        else:
            assert row.state is settled
            assert (state, settled) in TRANSITIONS
            assert settled in (S.SENT, S.BOUNCED)


def test_a_report_settles_what_was_uncertain_and_corrects_what_was_sent(sending_app, plan_issue):
    app = sending_app(1)
    plan_issue(app, 3)
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id <= 2).values(state=S.UNCERTAIN))
        session.execute(update(Delivery).where(Delivery.id == 3).values(state=S.SENT))
        assert settle(session, 1, Evidence.ACCEPTED, at=app.now()) is S.SENT
        assert settle(session, 2, Evidence.RETURNED, at=app.now(), status="5.1.1", text="gone") is S.BOUNCED
        assert settle(session, 3, Evidence.RETURNED, at=app.now(), status="5.1.1") is S.BOUNCED
        assert settle(session, 3, Evidence.RETURNED, at=app.now()) is None
        assert settle(session, 99, Evidence.RETURNED, at=app.now()) is None
        row = session.get_one(Delivery, 2)
        assert (row.reply_status, row.reply_text) == ("5.1.1", "gone")


def test_a_copy_is_found_by_each_of_its_marks(sending_app, plan_issue):
    app = sending_app(1)
    plan_issue(app, 2)
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == 2).values(remote_id="0102-abc"))
        message_id = session.get_one(Delivery, 2).message_id
        found = [
            find_delivery(session, delivery_id=2),
            find_delivery(session, message_id=f" <{message_id}> "),
            find_delivery(session, remote_id="0102-abc"),
        ]
        assert {each.id for each in found if each} == {2}
        assert None not in found
        assert find_delivery(session) is None
        assert find_delivery(session, message_id="nobody@example.org") is None
