"""
How a table fits a terminal: the widest columns give way first, and none becomes too narrow to read.

Where even that does not fit, the rows are better told one value a line.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP = 2
# A column narrower than this folds its words into letters.
NARROWEST = 14


def fitted_widths(natural: Sequence[int], room: int) -> list[int] | None:
    """
    Return the width of each column, or null when they do not fit.

    Args:
        natural: The width that the longest cell of each column asks for.
        room: Characters of a line.
    """
    widths = [min(width, room) for width in natural]
    for _ in range(sum(widths) + GAP * (len(widths) - 1) - room):
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            return None
        widths[widest] -= 1
    return widths
