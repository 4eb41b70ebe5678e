"""What must be true of a rendered issue before it may go: rules over values, no database, no socket."""

from newsletter.preflight.checking import check
from newsletter.preflight.values import Finding, IssueFacts, RenderedVariant, Report

__all__ = ["Finding", "IssueFacts", "RenderedVariant", "Report", "check"]
