"""The issue that the rendering benchmarks measure: a letter, six posts, five events, resources, a quotation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from newsletter.compose.content import (
    Button,
    Divider,
    Event,
    Image,
    IssueContent,
    Letter,
    Post,
    Quote,
    Section,
    Sender,
)

WEB = "https://news.example.org"
TITLES = (
    "New safe space opens at Dudley library",
    "What we heard at the October listening day",
    "Spotting the signs: a short guide for front desks",
    "Volunteers needed for the winter helpline rota",
    "How one school changed its morning register",
    "Funding round for small community groups",
)
EVENTS = (
    "Spotting the signs: training for reception staff",
    "Network meeting: police, health and councils",
    "Drop-in for people who support a neighbour",
    "Data sharing in practice",
    "Carers' coffee morning",
)
BLURB = (
    "<p>The team worked with residents, the council and two local charities for a year. Here is what changed, what it "
    "cost, and what they would do differently next time. The <a href='https://example.org/report'>full report</a> has "
    "the figures.</p>"
)


def _post(number: int, title: str) -> Post:
    return Post(
        title=title,
        blurb_html=BLURB,
        url=f"https://example.org/news/{number}",
        image=Image(f"{WEB}/media/{number:064x}.jpg", 536, 301, f"People at a table during {title.lower()}"),
        authors=("Amina Hussain",),
        published=date(2026, 10, 3 + number),
        item_id=number,
    )


def _event(number: int, title: str) -> Event:
    starts = datetime(2026, 11, 10 + number * 3, 14, 0, tzinfo=UTC)
    return Event(
        title=title,
        blurb_html="<p>Free, with tea. Please tell us what you need to take part.</p>",
        starts=starts,
        ends=starts + timedelta(hours=2),
        timezone="Europe/London",
        place="Room 2, Town Hall, St James's Road, Dudley DY1 1HF",
        url=f"https://example.org/events/{number}",
        booking_url=f"https://example.org/book/{number}",
        calendar_url=f"{WEB}/events/{number}.ics",
        item_id=100 + number,
    )


def sample_issue() -> IssueContent:
    """Return the same issue each time."""
    posts = tuple(_post(number, title) for number, title in enumerate(TITLES))
    events = tuple(_event(number, title) for number, title in enumerate(EVENTS))
    quote = Quote("I did not know whom to call. Now I do.", "A member of the Thursday group")
    resources = (
        Post(
            title="Leaflet: who can help, borough by borough",
            blurb_html="<p>Two pages, to print and put on the counter.</p>",
            url="https://example.org/files/leaflet.pdf",
            label="Download (PDF, 340 kB)",
        ),
        Button("See all resources", "https://example.org/resources"),
    )
    return IssueContent(
        slug="2026-11",
        subject="November: a new safe space, and five dates for your diary",
        preheader="Training for front desks, the winter rota, and where to book a place this month.",
        language="en-GB",
        direction="ltr",
        sender=Sender(
            name="Example Network",
            postal_address="1 High Street, Dudley DY1 1AA",
            from_address="news@example.org",
            website="https://example.org/",
            charity_number="1234567",
            privacy_url="https://example.org/privacy",
            helpline="Anyone can call the helpline free on 0800 555 0199, day and night.",
            helpline_phone="0800 555 0199",
            helpline_url="https://example.org/help",
        ),
        web_url=WEB,
        view_url=f"{WEB}/view/2026-11-abcdefghijklmnop",
        letter=Letter(
            "<p>Dear {{first_name|friend}},</p><p>Autumn was busy. Thank you for every lift, call and cup of tea. "
            "Please read the <a href='https://example.org/plan'>plan for winter</a> and tell us what is missing:</p>"
            "<ul><li>Which desk is not covered?</li><li>Who has not been asked?</li></ul>",
            name="Ruth Bailey",
            role="Chair",
            photograph=Image(f"{WEB}/media/{255:064x}.jpg", 96, 96, "Ruth Bailey"),
        ),
        sections=(
            Section("news", "News", "cards", (*posts[:3], quote, Divider(), *posts[3:])),
            Section("events", "Coming events", "events", events),
            Section("resources", "Resources", "resources", resources),
        ),
    )
