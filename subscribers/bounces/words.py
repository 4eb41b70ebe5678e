"""
The words by which receivers say why: the published table that `classify` reads from the top.

They are looked for in order, the sender's faults first: a refusal that mentions a blocklist never counts against the
person, whatever code it carries. Lower case, white space folded to one blank.
"""

from __future__ import annotations

from subscribers.bounces.event import Reason

# One word a line would make this table unreadable.
# fmt: off
WORDS: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (Reason.USER_UNKNOWN, (
        "recipient address rejected: access denied", "couldn't be found", "could not be found. check",
    )),
    (Reason.SYSTEM, (
        "couldn't create", "can't create", "cannot create", "remote protocol error",
    )),
    (Reason.HOST_UNKNOWN, (
        "the account or domain may not exist", "domain is not reachable",
    )),
    (Reason.REJECTED, (
        "domain of sender", "sender address", "sender domain", "sender rejected", "sender was rejected",
        "sender denied", "sender verify failed", "invalid sender", "unverified address",
        "email address is not verified",
    )),
    (Reason.NETWORK, (
        "host not found, try again", "temporary lookup failure", "name server timeout",
    )),
    (Reason.AUTHENTICATION, (
        "dmarc", "spf check", "spf fail", "spf validation", "sender policy framework", "spf record", "openspf",
        "dkim", "not pass authentication", "authentication checks", "unauthenticated email",
        "unauthenticated mail", "does not meet the required authentication", "not authorized to send mail for",
        "not authorised to send mail for",
    )),
    (Reason.BLOCKED, (
        "reverse dns", "rdns", "ptr record", " ptr ", "fcrdns", "dns ptr", "reverse lookup",
        "resolve your hostname", "cannot find your hostname", "cannot find your reverse hostname",
        "blocked for abuse", "client host rejected", "helo command rejected", "your ip ", "ip address has been",
        "blocked by", "is blocked", "been blocked", "was blocked", "blacklist", "black list", "blocklist",
        "block list", "spamhaus", "spamcop", "dnsbl", "rbl ", "dynamic ip", "from dynamic", "dynamic pool",
        "access denied", "access from ip", "banned sending ip", "messages from ", "connections from",
        "not allowed to connect", "refused by your ip", "ip not allowed", "sender ip", "bad helo",
        "invalid helo", "use the smtp server of your isp", "we do not accept mail from hosts",
    )),
    (Reason.REPUTATION, (
        "reputation", "poor rep", "unsolicited mail originating", "unusual rate of unsolicited", "senderbase",
    )),
    (Reason.RATE, (
        "too many messages", "too many connections", "too many recipients", "too many emails",
        "too much mail from", "rate limit", "ratelimit", "throttl", "receiving mail at a rate", "too quickly",
        "too fast", "exceeded the rate", "max defers and failures per hour", "maximum number of messages",
        "excessive rate", "sending limit",
    )),
    (Reason.VIRUS, (
        "virus", "malware", "infected", "dangerous attachment", "illegal attachment", "potentially harmful",
    )),
    (Reason.SPAM, (
        "spam", "unsolicited", "bulk mail", "junk mail", "rejected by content", "considered uce",
        "content analysis",
    )),
    (Reason.RELAYING, (
        "relay access denied", "relaying denied", "relay denied", "not permitted to relay",
        "relay not permitted", "unable to relay", "we do not relay", "relaying not allowed", "not a relay",
        "relay operation rejected",
    )),
    (Reason.TOO_BIG, (
        "message too big", "message too large", "message size exceeds", "size limit",
        "exceeds maximum message size", "message file too big", "exceeds the maximum", "too large",
        "line limit exceeded", "message length exceeds",
    )),
    (Reason.MAILBOX_FULL, (
        "mailbox full", "mailbox is full", "mail box full", "mail box space not enough", "mailbox too full",
        "mailfolder is full", "folder is full", "over quota", "overquota", "quota exceeded", "exceeded quota",
        "exceeded storage", "disk quota", "quota violation", "exceeds mailbox quota", "storage quota",
        "out of storage", "over the allowed quota", "has exceeded his/her", "mailbox size limit",
        "has too much mail stored", "insufficient disk space", "not enough storage space", "not enough space",
        "box full", "inbox is full", "is full", "user's storage", "exceeded the space", "exceeded its quota",
        "mailbox exceeded", "boite pleine", "quota dep", "buzon lleno", "postfach voll", "postfach ist voll",
    )),
    (Reason.HAS_MOVED, (
        "has moved", "no longer at this", "address has been changed", "user has moved", "replaced by",
        "new address is",
    )),
    (Reason.SUSPENDED, (
        "disabled", "deactivated", "suspend", "inactive", "account is locked", "account locked",
        "account has been locked", "mailbox currently", "temporarily unavailable mailbox", "account expired",
        "discontinued", "mailbox is frozen", "mailbox frozen", "not active", "account closed",
        "account is closed",
    )),
    (Reason.HOST_UNKNOWN, (
        "domain does not exist", "domain name not found", "host unknown", "unknown host", "host not found",
        "host or domain name not found", "no such domain", "domain not found", "unrouteable mail domain",
        "unrouteable domain", "unroutable domain", "unrouteable address", "nullmx", "null mx",
        "does not accept mail", "recipient address rejected: domain", "domain must resolve",
        "name or service not known", "couldn't find any host", "could not find any host",
        "couldn't find a mail exchanger", "no matches to nameserver", "no mail exchanger", "nxdomain",
        "illegal host/domain", "invalid domain", "has no mx", "bad destination system address",
        "bad destination mailbox address, domain", "all relevant mx records point to non-existent hosts",
    )),
    (Reason.USER_UNKNOWN, (
        "user unknown", "unknown user", "unknown recipient", "recipient unknown", "no such user",
        "no such recipient", "no such mailbox", "no such person", "no such address", "no such account",
        "user not found", "user doesn't exist", "user does not exist", "address does not exist",
        "account that you tried to reach does not exist", "does not exist", "doesn't exist", "doesn't have a",
        "not a valid user", "not a valid mailbox", "not a valid recipient", "not a known user",
        "invalid recipient", "invalid mailbox", "invalid user", "invalid address",
        "invalid final delivery userid", "unknown address", "unknown mailbox", "unknown or illegal",
        "unknown local", "mailbox not found", "mailbox unavailable", "recipient not found", "recipientnotfound",
        "recipnotfound", "recipient not recognized", "recipient name is not recognized",
        "recipient address rejected: user", "recipient address rejected: undeliverable", "recipient rejected",
        "addressee unknown", "address unknown", "no mailbox here by that name", "no mailbox by that name",
        "not listed in", "not our customer", "is not a member", "account not found", "no account by that name",
        "this user doesn", "no longer valid", "wasn't found at the destination", "is unknown",
        "user is unknown", "nosuchuser", "not known at this", "undeliverable address",
        "not in virtual user table", "unknown in", "no existe", "utilisateur inconnu", "benutzer unbekannt",
        "usuario desconocido", "utente sconosciuto", "gebruiker onbekend", "inexistent", "not local",
    )),
    (Reason.TLS, (
        "starttls", "tls is required", "tls required", "tls negotiation", "tls handshake", "certificate verif",
    )),
    (Reason.EXPIRED, (
        "expired", "retry timeout exceeded", "retry time not reached", "queue too long",
        "too long in the queue", "unable to deliver in", "has not been collected", "delivery time expired",
        "message timed out", "could not be delivered for", "have been failing for a long time",
        "delivery failed 10 attempts", "delivery attempts", "undeliverable for", "giving up",
    )),
    (Reason.NETWORK, (
        "connection refused", "connection timed out", "connection timeout", "timed out", "no route to host",
        "network is unreachable", "network unreachable", "connection reset", "connection lost",
        "lost connection", "connection dropped", "connection closed",
        "wasn't able to establish an smtp connection", "unable to connect", "could not connect",
        "did not accept our requests to connect", "socket error", "name service error", "dns error",
        "dns lookup", "temporary lookup failure", "hop count", "too many hops", "mail loop", "loops back",
        "mail forwarding loop", "routing loop", "duplicated message-id", "loop detected", "no answer from host",
        "recipient server unavailable",
    )),
    (Reason.REJECTED, (
        "sender not", "mail from", "envelope sender", "return path", "not accepting mail from", "relay=sender",
        "only accepts mail from known senders",
    )),
    (Reason.POLICY, (
        "policy", "polic", "restrict", "not permitted", "prohibited", "administratively", "denied by",
        "transport rule", "security", "unsupported mail", "moderat",
    )),
    (Reason.CONTENT, (
        "header error", "malformed", "message content", "content rejected", "invalid header", "non-ascii",
        "mime", "message refused", "message rejected", "not rfc", "rfc 5322", "rfc822", "missing header",
        "resent-from", "bare lf", "stray newline",
    )),
    (Reason.FILTERED, (
        "mailbox unavailable or access denied", "recipient refused", "not accepting messages",
        "delivery not authorized", "refused to accept", "rejected by the recipient", "user refused", "unwanted",
        "recipient address rejected", "cannot be delivered",
    )),
    (Reason.SYSTEM, (
        "system error", "server error", "internal error", "local error", "temporary failure", "temporary error",
        "try again", "local configuration error", "configuration error", "input/output error", "io error",
        "program failed", "command died", "failed with", "resources temporarily", "insufficient system",
        "service unavailable", "service not available", "greylist", "graylist", "lookup failure",
        "mail for user", "cannot open", "not responding",
    )),
)
# fmt: on
