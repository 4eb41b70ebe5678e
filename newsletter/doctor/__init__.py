"""
What `newsletter doctor` looks at: each check looks at one thing and returns findings; none changes anything that lasts.

A check never raises for what it was made to find: trouble is a `Finding` with what to do about it.
"""

from newsletter.doctor.examination import examine
from newsletter.doctor.findings import Finding, Level, worst
from newsletter.doctor.lookup import read_name_server

__all__ = ["Finding", "Level", "examine", "read_name_server", "worst"]
