"""
A page on this machine that shows one variant as readers see it: wide, narrow, dark, without pictures, as text.

The mail stands in sandboxed frames: nothing in it runs, nothing is fetched; pictures are put in from `media/`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from newsletter.preflight import RenderedVariant
from newsletter.render.discreet import PREVIEW_CHARACTERS
from newsletter.render.issue import RenderedIssue
from newsletter.render.links import media_url
from newsletter.render.personal import PersonalValues, fill_html, fill_subject, fill_text

_KINDS = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}
_MEDIA_NAME = re.compile(r"[0-9a-f]{64}\.(?:jpg|png|gif)")
_DARK_QUERY = re.compile(r"@media[^{]*prefers-color-scheme:\s*dark[^{]*")
_PICTURE = re.compile(r"""<img\b[^>]*>""")
_SOURCE = re.compile(r"""\ssrc\s*=\s*("[^"]*"|'[^']*')""")


@dataclass(frozen=True, slots=True)
class Page:
    """One variant's page: `name` is its file, `label` says who sees it."""

    name: str
    label: str
    variant: RenderedVariant


def pages_of(slug: str, variants: Sequence[RenderedVariant]) -> list[Page]:
    """Return the pages of an issue: `preview-2026-11.html`, `preview-2026-11.2.html` ..."""
    return [
        Page(
            f"preview-{slug}{'' if variant.number == 1 else f'.{variant.number}'}.html",
            _label(variant),
            variant,
        )
        for variant in variants
    ]


def _label(variant: RenderedVariant) -> str:
    count = variant.recipients
    people = "" if count is None else ", 1 person" if count == 1 else f", {count} people"
    return f"Variant {variant.number}{', discreet' if variant.discreet else ''}{people}"


def _size(rendered: RenderedIssue) -> str:
    text = f"{len(rendered.text.encode()):,}"
    return (
        f"{len(rendered.html.encode()):,} bytes of HTML, {text} of text" if rendered.html else f"{text} bytes of text"
    )


def preview_page(
    page: Page, pages: Sequence[Page], values: PersonalValues, *, media: Path, web_url: str, discreet_name: str = ""
) -> str:
    """
    Return the page as HTML that needs no script and no network.

    Args:
        discreet_name: Who a discreet variant is from, as its inbox row shows.
    """
    rendered = page.variant.rendered
    mail = with_local_pictures(fill_html(rendered.html, values), media=media, web_url=web_url)
    text = fill_text(rendered.text, values)
    views: tuple[tuple[str, str, str], ...] = (
        ("wide", "600 px", _frame(mail, 600)),
        ("narrow", "360 px", _frame(mail, 360)),
        ("dark", "Dark", _frame(as_dark(mail), 600, dark=True)),
        ("bare", "No pictures", _frame(without_pictures(mail), 600)),
        ("text", "Text", f"<pre>{escape(text)}</pre>"),
    )
    sender = page.variant.content.sender
    name = sender.from_name or sender.name
    if page.variant.discreet:
        name, views = discreet_name, views[-1:]
    return _PAGE.format(
        title=escape(f"Preview of {page.variant.content.slug}"),
        language=escape(rendered.language),
        sender=escape(name),
        subject=escape(fill_subject(rendered.subject, values)),
        preheader=escape(fill_text(rendered.preheader, values) or " ".join(text[:PREVIEW_CHARACTERS].split())),
        others=_others(page, pages),
        size=_size(rendered),
        choices="".join(
            f'<input type="radio" name="view" id="{each}"{" checked" if each == views[0][0] else ""}>'
            f'<label for="{each}">{label}</label>'
            for each, label, _ in views
        ),
        views="".join(f'<div class="view {name}">{view}</div>' for name, _, view in views),
        rules="".join(f"#{name}:checked~.{name}{{display:block}}" for name, _, _ in views),
    )


def with_local_pictures(mail: str, *, media: Path, web_url: str) -> str:
    """Put the pictures of `media/` into the page; one that is not there keeps its address and shows its words."""
    prefix = media_url(web_url, "")

    def inlined(found: re.Match[str]) -> str:
        name = found[0][len(prefix) :]
        try:
            data = base64.b64encode((media / name).read_bytes()).decode()
        except OSError:
            return found[0]
        return f"data:{_KINDS[name.rpartition('.')[2]]};base64,{data}"

    return re.sub(re.escape(prefix) + _MEDIA_NAME.pattern, inlined, mail)


def as_dark(mail: str) -> str:
    """Make the rules for dark readers hold at once, whatever this machine prefers."""
    return _DARK_QUERY.sub("@media screen ", mail)


def without_pictures(mail: str) -> str:
    """Take the addresses of pictures out, so that the words in their place show."""
    return _PICTURE.sub(lambda found: _SOURCE.sub("", found[0]), mail)


def _frame(mail: str, width: int, *, dark: bool = False) -> str:
    scheme = "dark" if dark else "light"
    return (
        f'<iframe sandbox="" title="The mail, {width} pixels wide" width="{width}" '
        f'style="color-scheme:{scheme}" srcdoc="{escape(mail)}"></iframe>'
    )


def _others(page: Page, pages: Sequence[Page]) -> str:
    if len(pages) == 1:
        return ""
    links = (
        f"<b>{escape(each.label)}</b>" if each is page else f'<a href="{escape(each.name)}">{escape(each.label)}</a>'
        for each in pages
    )
    return f"<nav>{' · '.join(links)}</nav>"


_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root{{color-scheme:light dark}}
body{{margin:0;padding:1rem;font:16px/1.5 system-ui,sans-serif;background:#eef0f3;color:#1b2530}}
header,nav{{max-width:42rem;margin:0 auto 1rem}}
.inbox{{background:#fff;border:1px solid #ccd3da;border-radius:8px;padding:.75rem 1rem}}
.inbox b{{display:block}} .inbox span,.size{{color:#51606e}} .size{{margin:.5rem 0 0;font-size:.875rem}}
main{{text-align:center}}
input{{position:absolute;opacity:0}}
label{{display:inline-block;padding:.4rem .9rem;margin:0 .15rem .75rem;border:1px solid #9aa7b3;border-radius:999px;
background:#fff;cursor:pointer}}
input:checked+label{{background:#1b4965;border-color:#1b4965;color:#fff}}
input:focus-visible+label{{outline:3px solid #f4a259;outline-offset:2px}}
.view{{display:none}}
iframe{{max-width:100%;height:80vh;border:1px solid #ccd3da;border-radius:8px;background:#fff}}
.dark iframe{{background:#111}}
pre{{display:inline-block;max-width:100%;box-sizing:border-box;margin:0;padding:1rem;text-align:left;overflow:auto;
background:#fff;border:1px solid #ccd3da;border-radius:8px;font:14px/1.5 ui-monospace,monospace}}
{rules}
@media (prefers-color-scheme:dark){{
body{{background:#14181d;color:#e6eaee}} .inbox,label,pre{{background:#1f252c;border-color:#3a444e}}
.inbox span,.size{{color:#a5b1bc}} input:checked+label{{background:#8ecae6;color:#0b1c26}} a{{color:#8ecae6}}
}}
</style>
</head>
<body>
<header>
<div class="inbox"><span>{sender}</span><b>{subject}</b><span>{preheader}</span></div>
<p class="size">{size}</p>
</header>
{others}
<main>
{choices}
{views}
</main>
</body>
</html>
"""
