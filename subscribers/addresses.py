"""
One place where an address is accepted or refused, and made comparable.

No quoted local part, no comment, no control character passes: what is stored here goes into ``RCPT TO`` as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from subscribers.errors import InvalidValue

LONGEST_ADDRESS = 254
LONGEST_LOCAL_PART = 64
_ROLES = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)  # these the library writes in lower case (RFC 2142)
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class Address(NamedTuple):
    """
    A usable address.

    Attributes:
        address: Local part as given, domain in lower-case A-labels: what is mailed.
        key: The same in lower case: equal keys are one mailbox to us.
        domain: The receiving domain in A-labels.
        ascii_local: False when the relay must offer SMTPUTF8 to carry it.
    """

    address: str
    key: str
    domain: str
    ascii_local: bool


def parse_address(text: str) -> Address:
    """
    Read an address that a person or a file gave.

    Raises:
        InvalidValue: With the reason in words.

    Source: RFC 5321 4.1.2, RFC 5322 3.4.1, RFC 6531, RFC 5890.
    """
    given = text.strip()
    if len(given) > LONGEST_ADDRESS:
        raise InvalidValue(f"This address has {len(given)} characters; {LONGEST_ADDRESS} is the most.")
    local, _, host = given.rpartition("@")
    if len(local) <= LONGEST_LOCAL_PART and _DOT_ATOM.fullmatch(local) and (domain := _known_domain(host)):
        address = f"{local}@{domain}"
        key = address.lower()
        if len(address) <= LONGEST_ADDRESS and (key == address or local.lower() not in _ROLES):
            return Address(address, key, domain, True)
    try:
        # test_environment lets the domains that RFC 2606 reserves pass: refusing them is no matter of syntax.
        found = validate_email(given, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise InvalidValue(f"'{given}' is not an address: {error}") from None
    if len(found.local_part.encode()) > LONGEST_LOCAL_PART:  # the library counts characters, servers octets
        raise InvalidValue(f"'{given}' is not an address: more than {LONGEST_LOCAL_PART} octets stand before the @.")
    domain = found.ascii_domain.lower()
    address = f"{found.local_part}@{domain}"
    return Address(address, address.casefold(), domain, found.local_part.isascii())


@lru_cache(maxsize=10_000)
def _known_domain(host: str) -> str | None:
    """Return a domain in lower-case A-labels, or None: a list of people has few, and checking one is dear."""
    try:
        found = validate_email(f"a@{host}", check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.ascii_domain.lower()


def mask_address(address: str) -> str:
    """Return the address as logs may show it: ``a***@example.org``."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}"
