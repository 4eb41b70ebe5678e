"""
Holes that were found in programs like this one, and which test shows that ours has none of the kind.

Each names what went wrong there in a few words. A hole that needs something this program does not have names the test
that shows that it does not have it.
"""

from __future__ import annotations

from typing import NamedTuple


class Advisory(NamedTuple):
    """The identifiers, whose it was, what went wrong, and the tests of ours (file below tests/, name)."""

    ids: tuple[str, ...]
    program: str
    wrong: str
    shown_by: tuple[tuple[str, str], ...]


_NO_LOGIN = (("security/test_advisories.py", "test_nobody_can_log_in_here"),)
_WORDS = ("journeys/test_hostile_words.py", "test_hostile_words_in_every_field_leave_as_words_or_are_refused")
_MARKUP = ("compose/test_cleaning.py", "test_hostile_markup_leaves_no_active_part")
_BOUND = ("subscribers/test_segments.py", "test_values_are_bound_never_written_into_the_statement")
_TOO_LARGE = ("web/test_api_finding.py", "test_a_segment_that_is_none_is_refused_in_words")
_FETCHING = (
    ("compose/test_fetching.py", "test_every_spelling_of_loopback_is_refused_before_a_socket_opens"),
    ("compose/test_fetching.py", "test_a_name_is_resolved_once_so_that_rebinding_gains_nothing"),
    ("compose/test_fetching.py", "test_a_redirect_to_what_may_not_be_fetched_is_refused"),
)
_SANDBOX = ("render/test_html.py", "test_templates_are_sandboxed")
_STAYS_WORDS = ("compose/test_cleaning.py", "test_template_code_in_a_post_stays_words")
_RUNS_NOWHERE = ("web/test_in_chromium.py", "test_what_is_slipped_into_an_issue_does_not_run")
_FORMULA = ("subscribers/test_import_bad_input.py", "test_a_guarded_cell_is_never_a_formula_and_comes_back_as_it_was")
_SMUGGLING = (
    ("send/test_gate.py", "test_no_smuggling_sequence_passes"),
    ("journeys/test_hostile_words.py", "test_no_end_of_data_in_any_field_ends_the_message"),
    ("journeys/test_hostile_words.py", "test_debian_s_postfix_delivers_one_mail_for_each_and_none_to_the_victim"),
)
_UNPACKED = (
    ("subscribers/test_import_bad_input.py", "test_an_archive_is_not_unpacked"),
    ("backup/test_hostile_archives.py", "test_a_path_outside_its_place_is_refused"),
)
_TERMINAL = ("cli/test_bounces.py", "test_a_mail_is_shown_as_text_that_cannot_change_the_terminal")
_FLOOR = (("test_security_floor.py", "test_every_locked_version_is_safe"),)
_NO_REDIRECT = (("security/test_advisories.py", "test_no_address_in_a_request_is_ever_followed"),)
_CROSS_SITE = ("web/test_settings.py", "test_the_page_comes_from_no_other_site_and_sets_no_cookie")
_SAME_ANSWER = (
    ("web/test_sign_up.py", "test_everybody_gets_the_same_answer_by_the_same_statements"),
    ("web/test_link_requests.py", "test_everybody_gets_the_same_bytes_and_runs_the_same_statements"),
)

ADVISORIES = (
    Advisory(("CVE-2025-49136",), "listmonk", "templates read the environment", (_SANDBOX, _STAYS_WORDS)),
    Advisory(("CVE-2025-58430",), "listmonk", "a form of another site took an account over", (*_NO_LOGIN, _CROSS_SITE)),
    Advisory(("CVE-2026-21483",), "listmonk", "script of an issue ran in the archive", (_MARKUP, _RUNS_NOWHERE)),
    Advisory(("CVE-2026-34828",), "listmonk", "sessions outlived a change of password", _NO_LOGIN),
    Advisory(("CVE-2026-128333",), "listmonk", "a reset skipped the second factor", _NO_LOGIN),
    Advisory(("listmonk#2412",), "listmonk", "segments were SQL that read the session table", (_BOUND, _TOO_LARGE)),
    Advisory(
        ("listmonk#2296",),
        "listmonk",
        "a private list could be joined by its number",
        (("asked/test_sign_up.py", "test_what_is_refused_is_refused_in_silence"),),
    ),
    Advisory(("listmonk#3065",), "listmonk", "an imported archive wrote outside its place", _UNPACKED),
    Advisory(("CVE-2026-26980", "CVE-2026-22596"), "Ghost", "filters of the interface were SQL", (_BOUND, _TOO_LARGE)),
    Advisory(("CVE-2026-22597", "CVE-2026-53946"), "Ghost", "pictures were fetched from inside", _FETCHING),
    Advisory(("CVE-2022-25777",), "Mautic", "assets were fetched from inside", _FETCHING),
    Advisory(
        ("CVE-2021-27910", "CVE-2021-27909", "CVE-2021-27911", "CVE-2020-35124", "CVE-2020-35125"),
        "Mautic",
        "words of bounces and of visitors ran in the operator's page",
        (_WORDS, _TERMINAL, _MARKUP),
    ),
    Advisory(
        ("CVE-2021-27908", "CVE-2021-27912", "CVE-2021-27913", "CVE-2021-27915", "CVE-2021-27916", "CVE-2021-27917"),
        "Mautic",
        "script in names, segments and notes",
        (_WORDS, ("web/test_settings.py", "test_hostile_names_are_words_on_the_page")),
    ),
    Advisory(("CVE-2026-115191", "CVE-2022-25775"), "Mautic", "names of fields went into SQL", (_BOUND, _TOO_LARGE)),
    Advisory(("CVE-2022-25772", "CVE-2022-25774"), "Mautic", "script in tracked words", (_WORDS, _MARKUP)),
    Advisory(("CVE-2022-25769", "CVE-2022-25770", "CVE-2022-25776"), "Mautic", "parts lay open to anybody", _NO_LOGIN),
    Advisory(("CVE-2024-47051",), "Mautic", "an uploaded file ran", _UNPACKED),
    Advisory(("CVE-2021-3142",), "Mautic", "a link of the program led elsewhere", _NO_REDIRECT),
    Advisory(("GHSA-9fx4-7cmj-47vg",), "Mautic", "a theme ran code", (_SANDBOX, _STAYS_WORDS)),
    Advisory(("GHSA-6r9h-4h75-7q4x",), "Mautic", "an import wrote outside its place", _UNPACKED),
    Advisory(
        ("GHSA-2jrw-c95w-h43g",),
        "Mautic",
        "rights were not asked for",
        (("web/test_api_scopes.py", "test_each_scope_opens_its_own_resource_and_no_other"),),
    ),
    Advisory(("GHSA-7h65-whp7-rgqf", "GHSA-5hvg-w58j-545m"), "Mautic", "script in shown words", (_WORDS, _MARKUP)),
    Advisory(
        tuple(f"CVE-2017-{number}" for number in range(20029, 20036)),
        "phpList",
        "the subscription page put fields into SQL",
        (_BOUND, *_SAME_ANSWER),
    ),
    Advisory(("CVE-2017-20036",), "phpList", "script in rules for bounces", (_TERMINAL, _WORDS)),
    Advisory(("CVE-2020-8547",), "phpList", "a loose comparison let anybody in", _NO_LOGIN),
    Advisory(("CVE-2020-35708",), "phpList", "an import put fields into SQL", (_BOUND, _FORMULA)),
    Advisory(("CVE-2021-3188",), "phpList", "an export held formulas", (_FORMULA,)),
    Advisory(("CVE-2025-28073", "CVE-2025-28074"), "phpList", "script in addresses of pages", (_WORDS, *_NO_REDIRECT)),
    Advisory(("CVE-2006-5321", "CVE-2006-5322"), "phpList", "script in words that were shown", (_WORDS, _MARKUP)),
    Advisory(("CVE-2016-7123", "CVE-2021-42096", "CVE-2021-42097"), "Mailman", "forms of other sites", (_CROSS_SITE,)),
    Advisory(("CVE-2018-0618", "CVE-2018-13796", "CVE-2020-12108"), "Mailman", "others' words on its pages", (_WORDS,)),
    Advisory(("CVE-2021-43331", "CVE-2021-43332", "CVE-2021-44227"), "Mailman", "options", (*_NO_LOGIN, _CROSS_SITE)),
    Advisory(("CVE-2025-43919", "CVE-2025-43920", "CVE-2025-43921"), "Mailman", "archives", (*_UNPACKED, _WORDS)),
    Advisory(("CVE-2021-40347",), "Postorius", "the answer told who is subscribed", _SAME_ANSWER),
    Advisory(("CVE-2026-44742",), "Postorius", "the subject of a held mail ran as script", (_TERMINAL, _WORDS)),
    Advisory(
        ("CVE-2021-33038",),
        "HyperKitty",
        "a private archive was public while it was imported",
        (("web/test_archive.py", "test_what_was_not_published_is_nowhere_in_the_archive"),),
    ),
    Advisory(("Mailtrain#1042", "Mailtrain#1255"), "Mailtrain", "script and open doors", (_WORDS, *_NO_LOGIN)),
    Advisory(("CVE-2023-51764", "CVE-2023-51765", "CVE-2023-51766"), "mail servers", "smuggling", _SMUGGLING),
    Advisory(("CVE-2024-27305", "CVE-2024-34083"), "aiosmtpd", "smuggling, injection", (*_SMUGGLING, *_FLOOR)),
    Advisory(
        ("CVE-2016-10745", "CVE-2024-56326", "CVE-2025-27516"), "Jinja2", "ways out of its sandbox", (_SANDBOX, *_FLOOR)
    ),
)
