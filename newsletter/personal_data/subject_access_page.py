"""The answer to a request for access as a page that stands alone: nothing of it is loaded from anywhere."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from markupsafe import Markup, escape

# What each part of the answer is, for the one whom it is about.
_PARTS = {
    "subscriptions": ("Lists", "The lists that you are on, or were on, and the lawful basis on which we mail you."),
    "ledger": ("How you came to them", "Every step, when, by whom, and what shows it. These lines are never changed."),
    "choices": ("What you chose", "Each change of your settings, and who made it."),
    "leaving_reasons": ("Why you left", "What you told us when you left a list."),
    "suppressions": ("When we may not mail you", "Your address, or its domain, under which we send nothing."),
    "deliveries": ("Issues sent to you", "Each issue, and what became of your copy."),
    "returned_mail": ("Mail that came back", "What mail servers told us of mail to you, and mail that you wrote us."),
    "notices": ("Other mail to you", "Confirmations and links."),
    "imports": ("Imports", "Spreadsheets that you were in, and what each of them changed."),
    "links": ("Links mailed to you", "Links that work once; the links themselves are not kept."),
    "requests": ("Waiting requests", "What was asked for on our site under your address."),
    "audit": ("What we did with your record", "Exports, changes by hand, and this request."),
}
_STYLE = Markup("""
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.2rem;margin:2.2rem 0 .2rem}p{margin:.2rem 0 .8rem}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%;overflow-wrap:normal}
td,th{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid #8886}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:0}dt{font-weight:600}dd{margin:0}
@media(max-width:32rem){dl{display:block}dd{margin:0 0 .6rem}}
""")


def as_page(held: dict[str, Any], *, name: str, at: datetime) -> str:
    """Return the answer as a page that stands alone: nothing of it is loaded from anywhere."""
    title = f"What is held about {held['address']}"
    facts = {key: value for key, value in held.items() if key not in _PARTS}
    parts = Markup("").join(
        Markup("<section><h2>{}</h2><p>{}</p>{}</section>").format(heading, said, _shown(held[key]))
        for key, (heading, said) in _PARTS.items()
        if key in held
    )
    return str(
        Markup(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{}</title>'
            "<style>{}</style></head>\n<body><main><h1>{}</h1><p>By {}, as of {}.</p>{}{}</main></body></html>\n"
        ).format(title, _STYLE, title, name or "us", _plain(at), _facts(facts), parts)
    )


def _shown(value: Any) -> Markup:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        columns = [name for name in value[0] if any(row[name] not in (None, "", [], {}) for row in value)]
        head = Markup("").join(Markup('<th scope="col">{}</th>').format(_words(name)) for name in columns)
        rows = Markup("").join(
            Markup("<tr>{}</tr>").format(
                Markup("").join(Markup("<td>{}</td>").format(_plain(row[name])) for name in columns)
            )
            for row in value
        )
        return Markup('<div class="table" tabindex="0"><table><tr>{}</tr>{}</table></div>').format(head, rows)
    return Markup("<p>{}</p>").format(_plain(value))


def _facts(facts: dict[str, Any]) -> Markup:
    lines = (Markup("<dt>{}</dt><dd>{}</dd>").format(_words(name), _plain(value)) for name, value in facts.items())
    return Markup("<dl>{}</dl>").format(Markup("").join(lines))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain(value: Any) -> Markup:
    """Return a value as people write it."""
    if value is None or value in ("", [], (), {}):
        return Markup("nothing")
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, datetime):
        return escape(f"{value:%Y-%m-%d %H:%M} {value.tzname() or ''}".strip())
    if isinstance(value, date):
        return escape(value.isoformat())
    if isinstance(value, list | tuple):
        return Markup(", ").join(_plain(part) for part in value)
    if isinstance(value, dict):
        return Markup(", ").join(Markup("{}: {}").format(_words(name), _plain(part)) for name, part in value.items())
    return escape(str(value))
