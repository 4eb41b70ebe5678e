"""
CSS into `style` attributes: the only file that knows premailer, with the options that neither fetch nor rewrite.

The three kept `style` blocks and every MSO comment come out byte for byte as they went in.
"""

from __future__ import annotations

import logging

import cssutils
from premailer import Premailer

from newsletter.errors import TemplateError

cssutils.log.setLevel(logging.CRITICAL)
cssutils.ser.prefs.minimizeColorHash = False  # keep #ffffff: three digits break in old clients

HAND_WRITTEN = ["width", "height", "align", "valign", "bgcolor"]


def inline_css(document: str) -> str:
    """
    Return the document with the rules of its first `style` block written into the elements.

    Raises:
        TemplateError: When the style sheet is one that cannot be inlined.
    """
    try:
        return str(
            Premailer(
                document,
                strip_important=False,
                disable_validation=True,
                disable_basic_attributes=HAND_WRITTEN,
                align_floating_images=False,
                allow_network=False,
                disable_link_rewrites=True,
                remove_unset_properties=False,
                keep_style_tags=False,
                remove_classes=False,
                cssutils_logging_level=logging.CRITICAL,
            ).transform(pretty_print=False)
        )
    except (AttributeError, ValueError, AssertionError, SyntaxError) as error:
        # premailer has no error of its own for a style sheet that it cannot read
        raise TemplateError(
            f"The mail's style sheet cannot be inlined: {error}", hint="Look at templates/email/css/inline.css."
        ) from error
