"""
The archive text source: the plain text of a blog's listing page, as it is copied from a browser -> items.

A pure function of the text: reordering its posts, doubling blank lines or changing line ends changes no item. What the
text does not state (a year, a time, an address on the web) stays empty, and what an event lacks is named in `missing`.

The line that a page takes:

    lines      text -> units: line ends, blank lines, hard wraps
    roles      unit -> role: text, short line, byline, contact, notice ... (the words are in `furniture`)
    posts      roles -> posts: which short line is a title, whose text is whose
    kinds      post -> post, event, resource or past issue (the words are in `vocabulary`)
    events     an event's day, time and place (`dates` reads both)
    addresses  the one address on the web that a post points to
    items      all of it -> `SourceItem`

Keys of `stated`: ``date`` (a whole date that the post states as its own, or the day of an event), ``month`` (YYYY-MM),
``period`` (two months), ``season``, ``year``; ``held`` (when a past event was held, one day or two with a slash); of an
event ``day`` and ``last_day`` (MM-DD), ``also`` (a second day), ``weekday``, ``from``, ``to`` (HH:MM), ``place`` (one
that the page cut); ``as_written`` (a numeric date whose order of day and month cannot be known).
"""

from newsletter.compose.sources.archive_text.items import read_archive_text

__all__ = ["read_archive_text"]
