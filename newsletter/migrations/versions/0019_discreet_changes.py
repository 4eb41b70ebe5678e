"""Keep who chose discreet mail outside the database too: a restore must not show them."""

from __future__ import annotations

from alembic import op

from subscribers.never_mail.triggers import note_discreet

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    note_discreet(op.get_bind())  # the triggers themselves are made anew after each upgrade
