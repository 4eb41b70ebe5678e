"""
A mail that asks to be taken off a list: the token of our own List-Unsubscribe, or words that say that and no more.

A subject or first line counts only as a whole. "How do I unsubscribe my late father?" is for a person to answer.
"""

from __future__ import annotations

import re
import unicodedata

from subscribers.bounces.mail import Mail

_TOKEN = re.compile(r"(?<![\w.-])v1\.[A-Za-z0-9_-]{40,116}(?![\w.-])")
_REPLY = re.compile(r"^(?:(?:re|aw|antw|odp|sv|vs|ynt|rv|res|tr|r|رد|ਜਵਾਬ|atb|ynteb|răsp|fw|fwd)\s*[:：]\s*)+", re.I)
_POLITE = ("please ", "bitte ", "proszę ", "vă rog ", "va rog ", "os gwelwch yn dda ", "prosim ", "lütfen ", "kindly ")
_AFTERWARDS = (
    " please",
    " thank you",
    " thanks",
    " os gwelwch yn dda",
    " bitte",
    " dziękuję",
    " mulțumesc",
    " shukriya",
)

# What people write as a whole line to leave a list; compared without accents, punctuation and case.
PHRASES: dict[str, tuple[str, ...]] = {
    "English": (
        "unsubscribe",
        "unsubscribe me",
        "unsubscribe me from this list",
        "unsubscribe from this list",
        "unsubscribe from the newsletter",
        "unsubscribe from this newsletter",
        "remove me",
        "remove me from this list",
        "remove me from the list",
        "remove me from your list",
        "remove me from your mailing list",
        "remove me from the mailing list",
        "take me off this list",
        "take me off the list",
        "take me off your list",
        "take me off your mailing list",
        "opt out",
        "i want to unsubscribe",
        "i would like to unsubscribe",
        "stop sending me emails",
        "stop emailing me",
    ),
    "Welsh": (
        "dad-danysgrifio",
        "dad danysgrifio",
        "datdanysgrifio",
        "dileu fy nhanysgrifiad",
        "tynnwch fi oddi ar y rhestr",
        "tynnwch fy enw oddi ar y rhestr",
        "rwyf am ddad-danysgrifio",
    ),
    "Polish": (
        "wypisz mnie",
        "wypisz",
        "wypisuję się",
        "anuluj subskrypcję",
        "rezygnacja z subskrypcji",
        "rezygnuję z subskrypcji",
        "rezygnacja z newslettera",
        "rezygnuję z newslettera",
        "proszę o wypisanie z listy",
        "proszę mnie wypisać",
        "proszę wypisać mnie z listy",
        "usuń mnie z listy",
    ),
    "Romanian": (
        "dezabonare",
        "dezabonați-mă",
        "dezabonează-mă",
        "doresc să mă dezabonez",
        "vreau să mă dezabonez",
        "ștergeți-mă din listă",
        "scoateți-mă de pe listă",
    ),
    "Punjabi": (
        "ਅਨਸਬਸਕ੍ਰਾਈਬ",
        "ਅਣਸਬਸਕ੍ਰਾਈਬ",
        "ਗਾਹਕੀ ਰੱਦ ਕਰੋ",
        "ਮੇਰੀ ਗਾਹਕੀ ਰੱਦ ਕਰੋ",
        "ਮੈਨੂੰ ਸੂਚੀ ਵਿੱਚੋਂ ਹਟਾਓ",
        "ਮੇਰਾ ਨਾਮ ਸੂਚੀ ਵਿੱਚੋਂ ਹਟਾਓ",
    ),
    "Urdu": (
        "ان سبسکرائب",
        "ان سبسکرائب کریں",
        "رکنیت ختم کریں",
        "میری رکنیت ختم کریں",
        "مجھے فہرست سے نکال دیں",
        "میرا نام فہرست سے نکال دیں",
        "سبسکرپشن منسوخ کریں",
    ),
    "Arabic": (
        "إلغاء الاشتراك",
        "الغاء الاشتراك",
        "إلغاء اشتراكي",
        "ألغوا اشتراكي",
        "أريد إلغاء الاشتراك",
        "أزيلوني من القائمة",
        "احذفوني من القائمة",
    ),
    "Bengali": ("আনসাবস্ক্রাইব", "সদস্যতা বাতিল করুন", "আমার সদস্যতা বাতিল করুন", "আমাকে তালিকা থেকে বাদ দিন"),
    "Gujarati": ("અનસબ્સ્ક્રાઇબ", "સબ્સ્ક્રિપ્શન રદ કરો", "મને યાદીમાંથી કાઢી નાખો"),
    "Hindi": ("अनसब्सक्राइब", "सदस्यता समाप्त करें", "सदस्यता रद्द करें", "मुझे सूची से हटाएं"),
    "Somali": ("iska saar liiska", "iga saar liiska", "jooji is-diiwaangelinta"),
    "Ukrainian": ("відписатися", "відпишіть мене", "скасувати підписку", "видаліть мене зі списку"),
    "Russian": ("отписаться", "отпишите меня", "отменить подписку", "удалите меня из списка", "отписка"),
    "Portuguese": ("cancelar subscrição", "cancelar a subscrição", "cancelar inscrição", "remover da lista"),
    "Spanish": ("darme de baja", "dar de baja", "baja", "cancelar suscripción", "cancelar la suscripción"),
    "French": ("désabonnement", "désinscription", "se désabonner", "désabonnez-moi", "désinscrivez-moi"),
    "German": ("abmelden", "abmeldung", "abbestellen", "newsletter abbestellen", "newsletter abmelden"),
    "Italian": ("disiscrizione", "disiscrivimi", "cancellami", "cancellare l'iscrizione", "annulla iscrizione"),
    "Lithuanian": ("atsisakyti prenumeratos", "atsisakau prenumeratos"),
    "Bulgarian": ("отписване", "отпишете ме"),
    "Turkish": ("abonelikten çık", "abonelikten çıkmak istiyorum", "aboneliğimi iptal edin", "listeden çıkar"),
    "Persian": ("لغو اشتراک", "لغو عضویت", "اشتراک مرا لغو کنید"),
    "Chinese": ("退订", "退訂", "取消订阅", "取消訂閱"),
}  # fmt: skip


def find_token(mail: Mail) -> str | None:
    """Return what looks like an unsubscribe token of ours in the subject; nothing is verified here."""
    found = _TOKEN.search(mail.header("subject"))
    return found[0] if found else None


def asks_to_leave(mail: Mail) -> bool:
    """Whether the subject, or the first line that somebody wrote, asks to leave and says nothing else."""
    return _is_phrase(mail.header("subject")) or _is_phrase(_first_line(mail))


def _first_line(mail: Mail) -> str:
    lines = (line.strip() for text in mail.texts[:1] for line in text[:4000].split("\n"))
    return next((line for line in lines if line), "")


def _is_phrase(line: str) -> bool:
    if not line or len(line) > 120:
        return False
    return _plain(_REPLY.sub("", line.strip())) in _KNOWN


_UNDOTTED = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d"})  # letters that no decomposition takes apart


def _plain(text: str) -> str:
    """Return *text* in lower case without accents, marks and punctuation, as people's keyboards differ in them."""
    letters = unicodedata.normalize("NFKD", text.casefold().translate(_UNDOTTED))
    kept = "".join(
        c if c.isalnum() else " " for c in letters if not unicodedata.combining(c) and c not in "\u200c\u200d"
    )
    line = " ".join(kept.split())
    for word in _BEFORE:
        line = line.removeprefix(word)
    for word in _AFTER:
        line = line.removesuffix(word)
    return line


_BEFORE: tuple[str, ...] = ()
_AFTER: tuple[str, ...] = ()
_BEFORE, _AFTER = tuple(_plain(w) + " " for w in _POLITE), tuple(" " + _plain(w) for w in _AFTERWARDS)
_KNOWN = frozenset(_plain(phrase) for phrases in PHRASES.values() for phrase in phrases)
