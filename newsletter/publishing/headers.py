"""What the header of every copy of a variant has in common."""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.publishing.discreet import discreet_headers
from newsletter.publishing.readers import issue_audience
from newsletter.render.headers import MessageHeaders
from newsletter.send.envelope import leave_address
from newsletter.tables import Issue
from subscribers import lists


def message_headers(session: Session, issue: Issue, config: Config, *, discreet: bool = False) -> MessageHeaders:
    """
    Return what the header of every copy has in common; of *discreet* ones nothing that tells who writes.

    With one list in the audience the copies are that list's; with several, the organisation's newsletter.
    """
    if discreet:
        return discreet_headers(config, issue.language)
    organisation = config.organisation
    audience = issue_audience(issue, config)
    domain = organisation.from_address.rpartition("@")[2]
    name, title = "newsletter", organisation.name
    if len(audience.lists) == 1 and not audience.segments:
        mailing_list = lists.get(session, audience.lists[0])
        name, title = mailing_list.name, mailing_list.title
    return MessageHeaders(
        from_name=organisation.from_name or organisation.name,
        from_address=organisation.from_address,
        reply_to=organisation.reply_to,
        list_id=f"{name}.{domain}",
        list_title=title,
        unsubscribe_mailto=f"mailto:{leave_address(config)}?subject=unsubscribe%20{{token}}",
        feedback_id=f"{issue.slug}:{name}:newsletter:{sender_id(domain)}",
        language=issue.language,
    )


def sender_id(domain: str) -> str:
    """
    Return how Gmail is to know the organisation in Feedback-ID: 5 to 15 characters, always the same ones.

    The domain itself where it fits, else its beginning and a hash of it.
    """
    if 5 <= len(domain) <= 15:
        return domain
    digest = hashlib.sha256(domain.encode()).hexdigest()[:7]
    return f"{domain[:7].rstrip('.-')}-{digest}"
