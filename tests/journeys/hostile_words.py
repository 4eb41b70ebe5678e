"""What editors, spreadsheets and feeds may hold and must stay words: header fields, commands, ends of data."""

from __future__ import annotations

# By these some server ends a message where another reads on. Source: the research on SMTP smuggling of 2023 and 2024.
END_OF_DATA = (
    "\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n.\n",
    "\r\n.\r\n",
    "\r\r\n.\r\r\n",
    "\r\n\x00.\r\n",
    "\r\n.\x00\r\n",
    "\n.\r",
    "\r.\n",
)
SECOND_MESSAGE = (
    "MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
    "From: evil@evil.example\r\nTo: victim@example.org\r\nSubject: smuggled\r\n\r\nsmuggled words\r\n.\r\n"
)
SMUGGLING = tuple(f"before{end}{SECOND_MESSAGE}" for end in END_OF_DATA)

INJECTION = (
    "a\r\nBcc: victim@example.org",
    "a\nBcc: victim@example.org",
    "a\rBcc: victim@example.org",
    "a\r\n Bcc: victim@example.org",
    "a\r\n\tBcc: victim@example.org",
    "a\r\n\r\nX-Evil: body",
    "a\n\nX-Evil: body",
    "\r\nBcc: victim@example.org",
    "a\x0bBcc: victim@example.org",
    "a\x0cBcc: victim@example.org",
    "a\x1cBcc: victim@example.org\x1d\x1e",
    "a\x85Bcc: victim@example.org",
    "a\u2028Bcc: victim@example.org",
    "a\u2029Bcc: victim@example.org",
    "a\u560d\u560aBcc: victim@example.org",
    "a\x00Bcc: victim@example.org",
    "a\x08\x7f\x1b[2JBcc: victim@example.org",
    "a%0d%0aBcc: victim@example.org",
    "a\\r\\nBcc: victim@example.org",
    "a&#13;&#10;Bcc: victim@example.org",
    "=?utf-8?q?a=0D=0ABcc=3A_victim=40example=2Eorg?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBleGFtcGxlLm9yZw==?=",
    "=?utf-8?q?unended",
    "a=0D=0ABcc: victim@example.org=\r\n",
    '"a" <victim@example.org>, b@evil.example',
    "a <victim@example.org>",
    "a, victim@example.org",
    "a; Bcc: victim@example.org",
    "group: victim@example.org;",
    "a (comment) \\",
    '"',
    "a\u202egro.elpmaxe@mitciv\u202c\u2066\u2069\u200b\ufeff",
    "\u0141" * 300,
    "x" * 1_200,
    "\U0001f389" * 120,
    "{{unsubscribe_url}}{{first_name|a\r\nBcc: victim@example.org}}",
    "\ufdd0unsubscribe_url\ufdd1\ufdd0first_name|x\ufdd1",
    "a\r\n.\r\n" + SECOND_MESSAGE,
    "a\r\n--=_boundary--\r\nContent-Type: text/html\r\n\r\n<b>",
    "a>\r\nRCPT TO:<victim@example.org",
    ".",
)
