"""
The webhooks of mail services: a module each, with the table that maps its words onto ours.

Pure: bytes and headers in, events out. What is fetched or kept is the business of whoever listens.
"""

from __future__ import annotations

from subscribers.bounces.providers.brevo import BREVO
from subscribers.bounces.providers.mailersend import MAILERSEND
from subscribers.bounces.providers.mailgun import MAILGUN
from subscribers.bounces.providers.mailjet import MAILJET
from subscribers.bounces.providers.mailtrap import MAILTRAP
from subscribers.bounces.providers.mandrill import MANDRILL
from subscribers.bounces.providers.postal import POSTAL
from subscribers.bounces.providers.postmark import POSTMARK
from subscribers.bounces.providers.provider import Batch, Provider
from subscribers.bounces.providers.resend import RESEND
from subscribers.bounces.providers.sendgrid import SENDGRID
from subscribers.bounces.providers.ses import SES
from subscribers.bounces.providers.sparkpost import SPARKPOST
from subscribers.bounces.providers.unisender_go import UNISENDER_GO

__all__ = ["PROVIDERS", "Batch", "Provider"]

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        BREVO,
        MAILERSEND,
        MAILGUN,
        MAILJET,
        MAILTRAP,
        MANDRILL,
        POSTAL,
        POSTMARK,
        RESEND,
        SENDGRID,
        SES,
        SPARKPOST,
        UNISENDER_GO,
    )
}
