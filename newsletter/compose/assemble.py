"""
Rows become the value that rendering needs: an issue's own words first, else the item as it was when it was accepted.

Only what the chair typed may hold personal tags; the item's own words are escaped or were cleaned when they came in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from typing import Any, Literal

from sqlalchemy.orm import Session

from newsletter.compose import content
from newsletter.compose.cleaning import markdown_html, shorten
from newsletter.compose.language import direction_of
from newsletter.compose.pictures import picture_for
from newsletter.compose.sections import IssueSection, sections_of
from newsletter.config.settings import Config, Organisation, SectionRule
from newsletter.tables import Block, BlockKind, Issue, ItemKind, Picture

PREHEADER_CHARACTERS = 100
LETTERS = "letters"
_RESOURCES = frozenset({"resource", "past-issue"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """How public addresses are made: of the issue's page, of a file in `media/`, of an event's calendar file."""

    view: str
    media: Callable[[str], str]
    calendar: Callable[[int], str]


def assemble(
    session: Session,
    issue: Issue,
    *,
    config: Config,
    addresses: Addresses,
    blocks: Iterable[Block] | None = None,
) -> content.IssueContent:
    """
    Return one variant of an issue.

    Args:
        blocks: Those that this variant shows; null shows all. A section left empty is absent.
    """
    maker = _Maker(session, config, addresses)
    visible = {block.id for block in (issue.blocks if blocks is None else blocks)}
    sections = [
        maker.section(section, [block for block in section.blocks if block.id in visible])
        for section in sections_of(issue, section_rules(config))
    ]
    return content.IssueContent(
        slug=issue.slug,
        subject=issue.subject,
        preheader=issue.preheader or default_preheader(_titles(sections), issue.subject),
        language=issue.language,
        direction=direction_of(issue.language),
        sender=maker.sender(),
        web_url=config.web.url.rstrip("/"),
        sections=tuple(section for section in sections if section.blocks),
        letter=maker.letter(issue),
        # A digest has no page of its own: no two of its readers may see the same parts.
        view_url="" if issue.digest_of else addresses.view,
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    session: Session
    config: Config
    addresses: Addresses

    def section(self, section: IssueSection, blocks: list[Block]) -> content.Section:
        made = tuple(self.block(block) for block in blocks)
        if all(isinstance(block, content.Divider) for block in made):
            made = ()
        return content.Section(section.rule.name, section.rule.title, layout_of(section.rule), made)

    def block(self, block: Block) -> content.Block:
        if block.kind is BlockKind.QUOTE:
            return content.Quote(block.payload.get("text", ""), block.payload.get("by", ""))
        if block.kind is BlockKind.DIVIDER:
            return content.Divider()
        if block.kind is BlockKind.BUTTON:
            return content.Button(block.payload.get("label", ""), block.payload.get("url", ""))
        if block.kind is BlockKind.LETTER:
            return self.gathered_letter(block)
        taken = block.snapshot or {}
        return self.event(block, taken) if taken.get("kind") == ItemKind.EVENT else self.post(block, taken)

    def gathered_letter(self, block: Block) -> content.Post:
        """Return the letter of one of a digest's issues, under the subject that the issue had."""
        told = block.payload
        return content.Post(
            title=told.get("title", ""),
            blurb_html=markdown_html(told.get("text", "")),
            authors=(told["by"],) if told.get("by") else (),
            published=_day(told.get("day")),
            blurb_is_typed=True,
        )

    def post(self, block: Block, taken: dict[str, Any]) -> content.Post:
        published = _moment(taken.get("published_at"))
        return content.Post(
            title=block.headline or taken.get("title", ""),
            blurb_html=_blurb(block, taken),
            url=taken.get("url"),
            image=self.image(block, taken),
            authors=tuple(taken.get("authors") or ()),
            published=published.astimezone(self.config.organisation.zone).date()
            if published
            else _day(taken.get("published_on")),
            truncated=bool(taken.get("truncated")) and not block.blurb,
            label=_label(taken),
            item_id=block.item_id,
            blurb_is_typed=bool(block.blurb),
            title_is_typed=bool(block.headline),
        )

    def event(self, block: Block, taken: dict[str, Any]) -> content.Event:
        dated = taken.get("starts_at") or taken.get("starts_on")
        return content.Event(
            title=block.headline or taken.get("title", ""),
            blurb_html=_blurb(block, taken),
            starts=_moment(taken.get("starts_at")),
            ends=_moment(taken.get("ends_at")),
            starts_on=_day(taken.get("starts_on")),
            ends_on=_day(taken.get("ends_on")),
            timezone=taken.get("timezone"),
            place=taken.get("place") or "",
            url=taken.get("url"),
            booking_url=taken.get("booking_url"),
            calendar_url=self.addresses.calendar(block.item_id) if dated and block.item_id else None,
            image=self.image(block, taken),
            item_id=block.item_id,
            # The one change at the source that counts before the chair has accepted it: nobody is to travel in vain.
            cancelled="cancelled" in (taken.get("state"), block.item.state.value if block.item else None),
            blurb_is_typed=bool(block.blurb),
            title_is_typed=bool(block.headline),
        )

    def image(self, block: Block, taken: dict[str, Any]) -> content.Image | None:
        if is_brief(block, taken):
            return None
        picture = picture_for(self.session, taken.get("image_url"))
        return self._shown(picture, taken.get("image_alt") or "", taken.get("image_credit") or "")

    def letter(self, issue: Issue) -> content.Letter | None:
        if not issue.letter.strip():
            return None
        picture = self.session.get(Picture, issue.letter_picture_id) if issue.letter_picture_id else None
        return content.Letter(
            body_html=markdown_html(issue.letter),
            name=issue.letter_name,
            role=issue.letter_role,
            photograph=self._shown(picture, issue.letter_name),
        )

    def sender(self) -> content.Sender:
        organisation = self.config.organisation
        names = set(content.Sender.__dataclass_fields__) & set(Organisation.model_fields) - {"logo"}
        logo = self._shown(picture_for(self.session, organisation.logo or None), organisation.name)
        return content.Sender(**{name: getattr(organisation, name) for name in names}, logo=logo)

    def _shown(self, picture: Picture | None, alt: str, credit: str = "") -> content.Image | None:
        if picture is None or not (picture.file_name and picture.width and picture.height):
            return None
        return content.Image(self.addresses.media(picture.file_name), picture.width, picture.height, alt, credit)


def default_preheader(titles: Sequence[str], subject: str) -> str:
    """
    Return the first titles in one line, for an issue whose chair has written no preheader.

    It is made for each variant, so that it never names what its readers do not get. A title with braces is left out,
    for in a preheader a tag counts as typed.
    """
    line = ""
    for title in titles:
        longer = f"{line} · {title}" if line else title
        if "{" not in title and title != subject and len(longer) <= PREHEADER_CHARACTERS:
            line = longer
    first = next((title for title in titles if "{" not in title), "")
    return line or shorten(first, PREHEADER_CHARACTERS)[0]


def layout_of(rule: SectionRule) -> Literal["cards", "events", "resources"]:
    kinds = set(rule.kinds)
    if kinds == {"event"}:
        return "events"
    return "resources" if kinds <= _RESOURCES else "cards"


def section_rules(config: Config) -> tuple[SectionRule, ...]:
    """Return the sections that an issue may have: those of the configuration, and the letters of a digest."""
    own = config.issue.sections
    if any(rule.name == LETTERS for rule in own):
        return own
    return (SectionRule(name=LETTERS, title=config.digest.letters_title, kinds=("post",)), *own)


def is_brief(block: Block, taken: dict[str, Any]) -> bool:
    """Say whether only title and link are told of an item, because its digest holds so many; the link has the rest."""
    return bool(block.payload.get("brief") and (taken.get("url") or taken.get("kind") == ItemKind.EVENT))


def _titles(sections: Sequence[content.Section]) -> list[str]:
    return [
        block.title
        for section in sections
        for block in section.blocks
        if isinstance(block, content.Post | content.Event)
    ]


def _blurb(block: Block, taken: dict[str, Any]) -> str:
    if is_brief(block, taken):
        return ""
    if block.blurb:
        return markdown_html(block.blurb)
    paragraphs = str(taken.get("summary") or "").split("\n")
    return "".join(f"<p>{escape(paragraph.strip(), quote=False)}</p>" for paragraph in paragraphs if paragraph.strip())


def _label(taken: dict[str, Any]) -> str:
    if str(taken.get("url") or "").lower().partition("?")[0].endswith(".pdf"):
        return "Open the PDF"
    return {"past-issue": "Read this issue", "resource": "Open the resource"}.get(str(taken.get("kind")), "Read more")


def _moment(stored: Any) -> datetime | None:
    return datetime.fromisoformat(stored) if stored else None


def _day(stored: Any) -> date | None:
    return date.fromisoformat(stored) if stored else None
