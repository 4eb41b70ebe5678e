"""
Find a domain's DMARC policy and its organisation by walking up the DNS, and conclude what a receiver would.

There is no public suffix list in it: the records themselves say where an organisation ends.

Source: RFC 9989 (tree walk, selection of the organisational domain, policy discovery, alignment).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from newsletter.doctor.lookup import Look, Status

MOST_LABELS = 8
JUMP_TO_LABELS = 7
POLICIES = ("none", "quarantine", "reject")
WEAKER = {"reject": "quarantine", "quarantine": "none", "none": "none"}


@dataclass(frozen=True, slots=True)
class Record:
    """One valid record, and the domain that publishes it."""

    domain: str
    tags: Mapping[str, str]
    text: str

    def tag(self, name: str, default: str = "") -> str:
        return self.tags.get(name, default).lower()

    @property
    def reports_to(self) -> tuple[str, ...]:
        """The addresses of `rua`, without a size that may follow one."""
        uris = (uri.strip() for uri in self.tags.get("rua", "").split(","))
        return tuple(uri[7:].partition("!")[0] for uri in uris if uri.lower().startswith("mailto:") and "@" in uri)


@dataclass(frozen=True, slots=True)
class Walk:
    """
    The records from a domain upwards, nearest first.

    Attributes:
        doubled: Domains with more than one record, which count as none.
        broken: Records that say ``v=DMARC1`` and cannot be used, as (domain, text).
        unanswered: Names for which the DNS gave no answer.
    """

    domain: str
    records: tuple[Record, ...] = ()
    doubled: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    unanswered: tuple[str, ...] = ()

    @property
    def organisation(self) -> str:
        """The organisational domain: where `psd` says it is, else the shortest that publishes, else the start."""
        for record in self.records:
            if record.tag("psd") == "n":
                return record.domain
            if record.tag("psd") == "y" and record.domain != self.domain:
                return _one_below(record.domain, self.domain)
        return self.records[-1].domain if self.records else self.domain


@dataclass(frozen=True, slots=True)
class Applied:
    """The policy that receivers apply to mail from a domain; `tag` says which word of the record gave it."""

    record: Record
    policy: str
    tag: str
    testing: bool = False

    @property
    def in_force(self) -> str:
        """With ``t=y`` the owner asks for one step less."""
        return WEAKER[self.policy] if self.testing else self.policy


@dataclass(slots=True)
class _Found:
    records: list[Record] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


def walk(domain: str, look: Look) -> Walk:
    """Ask for the records of *domain* and of what is above it: eight questions at the most."""
    start = domain.lower().rstrip(".")
    found = _Found()
    for name in names_to_ask(start):
        record = _ask(name, look, found)
        if record is not None:
            found.records.append(record)
            if record.tag("psd") in ("y", "n"):
                break
    return Walk(start, tuple(found.records), tuple(found.doubled), tuple(found.broken), tuple(found.unanswered))


def names_to_ask(domain: str) -> list[str]:
    """Return the domain and those above it; a very long one is left in one step. Source: RFC 9989, tree walk."""
    labels = domain.split(".")
    rest = labels[1:] if len(labels) < MOST_LABELS else labels[-JUMP_TO_LABELS:]
    return [domain, *(".".join(rest[at:]) for at in range(len(rest)))]


def _ask(domain: str, look: Look, found: _Found) -> Record | None:
    answer = look(f"_dmarc.{domain}", "TXT")
    if answer.unknown:
        found.unanswered.append(domain)
    texts = [text for text in answer.values if is_dmarc(text)]
    if len(texts) > 1:
        found.doubled.append(domain)
    if len(texts) != 1:
        return None
    record = read_record(domain, texts[0])
    if record is None:
        found.broken.append((domain, texts[0]))
    return record


def is_dmarc(text: str) -> bool:
    """The version comes first and is written exactly so."""
    tag, _, value = text.partition(";")[0].partition("=")
    return tag.strip() == "v" and value.strip() == "DMARC1"


def read_record(domain: str, text: str) -> Record | None:
    """
    Read a record; None when no receiver would use it.

    Without a valid `p`, or with a wrong `sp` or `np`, it counts as ``p=none`` if reports are asked for, else not.
    """
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    tags = {name.strip().lower(): value.strip() for name, _, value in pairs}
    record = Record(domain, tags, text)
    given = [tags[name].lower() for name in ("p", "sp", "np") if name in tags]
    if "p" in tags and all(value in POLICIES for value in given):
        return record
    if not record.reports_to:
        return None
    return Record(domain, {**{k: v for k, v in tags.items() if k not in ("sp", "np")}, "p": "none"}, text)


def applied_policy(walked: Walk, author_status: Status) -> Applied | None:
    """
    Return the policy for mail whose From is in the walked domain; None when none is published.

    Args:
        author_status: Of the domain itself: `np` is for those that do not exist.
    """
    own = next((r for r in walked.records if r.domain == walked.domain), None)
    if own is not None:
        return Applied(own, own.tag("p"), "p", own.tag("t") == "y")
    above = next((r for r in walked.records if r.domain == walked.organisation), None)
    above = above or (walked.records[-1] if walked.records else None)  # only the registry's own record is left
    if above is None:
        return None
    wanted = ("np", "sp", "p") if author_status is Status.NO_NAME else ("sp", "p")
    tag = next(name for name in wanted if name in above.tags)
    return Applied(above, above.tag(tag), tag, above.tag("t") == "y")


def is_aligned(author: Walk, other: Walk, *, strict: bool) -> bool:
    """Tell whether a domain that SPF or DKIM vouches for speaks for the domain of the From."""
    if author.domain == other.domain:
        return True
    return not strict and author.organisation == other.organisation


def _one_below(above: str, domain: str) -> str:
    labels, depth = domain.split("."), above.count(".") + 2
    return ".".join(labels[-depth:])
