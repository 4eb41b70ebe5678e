"""Mail that a machine wrote in somebody's name: out of office, receipts, challenges. None of it is a bounce."""

from __future__ import annotations

import re

from subscribers.bounces.answers import is_answer
from subscribers.bounces.mail import Mail

# "Automatic reply", "out of office" and their like, as the common mail programs begin a subject.
_SUBJECT = re.compile(
    r"^\W*(?:(?:re|aw|sv|vs|antw?|odp|r|ris|tr)\s*:\s*)?(?:"
    r"auto(?:matic|mated|matisch\w*|matique|matic\w*|m[aá]tic[ao])?[ -]?(?:re(?:ply|spon[ds]\w*)|antwo(?:r|or)[td])"
    r"|out[ -]of[ -](?:the[ -])?office|ooo?to?\b|on vacation|vacation (?:reply|notice|response)|on leave"
    r"|away (?:from|until)"
    r"|automatische (?:antwort|reactie|reply)|abwesenheits?|abwesend|nicht im (?:b[uü]ro|haus)|afwezig|buiten kantoor"
    r"|r[eé]ponse automatique|absen(?:ce|t)\b|absent du bureau|message d'absence"
    r"|respuesta autom[aá]tica|fuera de (?:la )?oficina|ausente"
    r"|resposta autom[aá]tica|fora do escrit[oó]rio|aus[eê]ncia"
    r"|risposta automatica|fuori (?:sede|ufficio)|assenza|autosvar|automatiskt? svar|fr[aå]nvaro"
    r"|frav[aæ]r|ikke p[aå] kontoret"
    r"|automaattinen vastaus|poissa|autoodpowied[zź]|odpowied[zź] automatyczna|automatyczna odpowied|poza biurem"
    r"|nieobecno"
    r"|automatick[aá] odpov[eě]|nep[rř][ií]tomnost|automatikus v[aá]lasz|h[aá]zon k[ií]v[uü]l"
    r"|r[aă]spuns automat|[iî]n afara"
    r"|автоматический ответ|автоответ|отсутств|вне офиса|автоматична відповідь"
    r"|otomatik (?:yan[ıi]t|cevap)|ofis d[ıi][sş][ıi]nda|自動応答|自動返信|不在"
    r"|自动(?:回复|答复)|自動回覆|외출|부재중|자동 ?(?:응답|회신)"
    r"|رد تلقائي|خارج المكتب|תשובה אוטומטית|αυτόματη απάντηση|εκτός γραφείου)",
    re.I,
)
_CHALLENGE = re.compile(
    r"(?:please (?:confirm|verify) (?:your|that)|verify your (?:e-?mail|message|request)|confirm your message|"
    r"challenge[ -]response|sender (?:verification|authentication|confirmation)|one time (?:confirmation|verification)|"
    r"your (?:message|e-?mail) requires (?:confirmation|verification)|boxbe"
    r"|spamarrest|spam arrest|bitte best[aä]tigen)",
    re.I,
)


def is_autoreply(mail: Mail) -> bool:
    """
    Whether a mail is an automatic answer to a person's mail.

    Source: RFC 3834 5; X-Autoreply, X-Autorespond and Precedence: auto_reply of older responders; subjects of the
    common mail programs in the languages they are sold in.
    """
    submitted = mail.header("auto-submitted").lower()
    if submitted.startswith(("auto-replied", "auto-notified")):
        return True
    if any(name in mail.message for name in ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from")):
        return True
    if "auto_reply" in mail.header("precedence").lower() or "auto_reply" in mail.header("x-precedence").lower():
        return True
    if mail.header("x-apple-action").upper() == "VACATION" or "x-ms-exchange-inbox-rules-loop" in mail.message:
        return True
    return bool(_SUBJECT.search(mail.header("subject")))


def is_challenge(mail: Mail) -> bool:
    """Whether a mail asks its reader to prove that a person wrote; by its subject alone, when it is no answer."""
    if has_challenge_header(mail):
        return True
    return bool(_CHALLENGE.search(mail.header("subject"))) and not is_answer(mail)


def has_challenge_header(mail: Mail) -> bool:
    """Whether one of the known programs that challenge says that it wrote."""
    return any(name in mail.message for name in ("x-tmda-fingerprint", "x-boxbe-notification", "x-spamarrest-info"))
