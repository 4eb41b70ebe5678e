"""From an issue in the database to its judged renderings and its frozen plan: what commands and worker share."""

from newsletter.publishing.prepare import (
    Prepared,
    content_of,
    current_report,
    is_tested,
    make_addresses,
    prepare,
)
from newsletter.publishing.readers import issue_audience
from newsletter.publishing.start import record_approval, refuse, start_issue

__all__ = [
    "Prepared",
    "content_of",
    "current_report",
    "is_tested",
    "issue_audience",
    "make_addresses",
    "prepare",
    "record_approval",
    "refuse",
    "start_issue",
]
