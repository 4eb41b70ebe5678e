"""
The archive text source: the plain text of a blog's listing page, as it is copied from a browser -> items.

A pure function of the text: reordering its posts, doubling blank lines or changing line ends changes no item. What the
text does not state (a year, a time, an address on the web) stays empty and is named in `missing`.
"""

from newsletter.compose.sources.archive_text.items import read_archive_text

__all__ = ["read_archive_text"]
