"""
Mailboxes of a role, by what stands before the `@`: whoever reads them did not ask, and often reports what comes.

Those by which small organisations are written to (info, office, hello) are not among them.

Source: RFC 2142, and what mail services refuse to subscribe.
"""

from __future__ import annotations

ROLES = frozenset(
    (
        "abuse",
        "admin-c",
        "bounce",
        "bounces",
        "complaints",
        "daemon",
        "devnull",
        "do-not-reply",
        "donotreply",
        "fbl",
        "ftp",
        "hostmaster",
        "ipadmin",
        "list-owner",
        "list-request",
        "listserv",
        "maildaemon",
        "mailer-daemon",
        "majordomo",
        "news-request",
        "no-reply",
        "nobody",
        "noc",
        "noreply",
        "null",
        "phish",
        "phishing",
        "policy",
        "postmaster",
        "registrar",
        "root",
        "security",
        "spam",
        "spamtrap",
        "ssladmin",
        "sysadmin",
        "tech-c",
        "unsubscribe",
        "usenet",
        "uucp",
        "webmaster",
        "www",
    )
)
