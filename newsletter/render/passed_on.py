"""
A person's mail to the machine, passed on to the chair: what it says as text, and the mail itself attached, untouched.

It says that a program sent it and carries a header of ours, so that nothing answers it and it is never passed on again.
"""

from __future__ import annotations

import base64
import hashlib

from newsletter.render import headers as h
from newsletter.render.message import LINE_BYTES
from newsletter.render.notice import NoticeHeaders, NoticeText, notice_body, notice_fields

OWN_HEADER = "X-Newsletter-Notice"
FILE_NAME = "original.eml"


def compose_passed_on(text: NoticeText, headers: NoticeHeaders, original: bytes) -> bytes:
    """
    Return the whole message; *original* is attached as it came.

    As base64, since it may hold lines and bytes that no mail server takes; a message/rfc822 part could not be.
    """
    boundary = f"=_{hashlib.sha256(original).hexdigest()[:32]}"
    delimiter = b"\r\n--" + boundary.encode()
    encoded = base64.b64encode(original)
    lines = (encoded[n : n + LINE_BYTES] for n in range(0, len(encoded), LINE_BYTES))
    return b"".join(
        [
            notice_fields(text, headers),
            h.structured(OWN_HEADER, "reply"),
            h.structured("MIME-Version", "1.0"),
            h.structured("Content-Type", "multipart/mixed;", f'boundary="{boundary}"'),
            delimiter + b"\r\nContent-Type: text/plain; charset=utf-8\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            notice_body(text.body),
            delimiter + b"\r\nContent-Type: application/octet-stream;\r\n",
            f' name="{FILE_NAME}"\r\nContent-Transfer-Encoding: base64\r\n'.encode(),
            f'Content-Disposition: attachment;\r\n filename="{FILE_NAME}"\r\n\r\n'.encode(),
            b"\r\n".join(lines),
            delimiter + b"--\r\n",
        ]
    )
