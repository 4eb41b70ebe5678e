"""The tree walk: where an organisation ends is what the records say, in eight questions at the most."""

from __future__ import annotations

import pytest

from newsletter.doctor.dmarc import applied_policy, is_aligned, names_to_ask, walk
from newsletter.doctor.lookup import Answer, Status


def zone(**records: str):
    """Return a lookup over records, with `_` for a dot in the names of domains."""
    texts = {f"_dmarc.{name.replace('_', '.')}": text for name, text in records.items()}

    def look(name: str, _kind: str) -> Answer:
        return Answer(Status.FOUND, (texts[name],)) if name in texts else Answer(Status.NO_NAME)

    return look


def test_a_short_name_is_walked_label_by_label() -> None:
    assert names_to_ask("a.mail.example.com") == ["a.mail.example.com", "mail.example.com", "example.com", "com"]


@pytest.mark.parametrize(("labels", "second"), [(7, 6), (8, 7), (9, 7), (30, 7)])
def test_eight_questions_are_the_most(labels: int, second: int) -> None:
    asked = names_to_ask(".".join(f"l{n}" for n in range(labels)))
    assert len(asked) <= 8
    assert asked[1].count(".") + 1 == second
    assert asked[-1] == f"l{labels - 1}"


def test_the_shortest_name_that_publishes_is_the_organisation() -> None:
    look = zone(
        a_mail_example_com="v=DMARC1; p=none", mail_example_com="v=DMARC1; p=none", example_com="v=DMARC1; p=none"
    )
    assert walk("a.mail.example.com", look).organisation == "example.com"


def test_psd_n_is_the_organisation_and_ends_the_walk() -> None:
    look = zone(mail_example_com="v=DMARC1; p=none; psd=n", example_com="v=DMARC1; p=reject")
    walked = walk("a.mail.example.com", look)
    assert walked.organisation == "mail.example.com"
    assert [record.domain for record in walked.records] == ["mail.example.com"]


def test_below_a_registry_the_organisation_is_one_label_longer() -> None:
    look = zone(gov_uk="v=DMARC1; p=reject; psd=y")
    assert walk("news.dudley.gov.uk", look).organisation == "dudley.gov.uk"
    assert walk("gov.uk", look).organisation == "gov.uk"


def test_a_registrys_record_is_the_policy_where_there_is_no_other() -> None:
    look = zone(gov_uk="v=DMARC1; p=none; sp=reject; np=quarantine; psd=y")
    walked = walk("news.dudley.gov.uk", look)
    for status, policy in ((Status.FOUND, "reject"), (Status.NO_NAME, "quarantine")):
        applied = applied_policy(walked, status)
        assert applied is not None
        assert applied.policy == policy


def test_without_any_record_a_name_is_its_own_organisation() -> None:
    look = zone()
    author, other = walk("news.example.com", look), walk("bounces.example.com", look)
    assert not is_aligned(author, other, strict=False)
    assert is_aligned(author, walk("News.example.com.", look), strict=True)
    assert applied_policy(author, Status.FOUND) is None


def test_neighbours_are_aligned_by_the_record_above_them_and_only_relaxed() -> None:
    look = zone(example_com="v=DMARC1; p=reject")
    author, other = walk("news.example.com", look), walk("bounces.example.com", look)
    assert is_aligned(author, other, strict=False)
    assert not is_aligned(author, other, strict=True)


def test_two_charities_below_one_registry_are_strangers() -> None:
    look = zone(org_uk="v=DMARC1; p=none; psd=y")
    assert not is_aligned(walk("one.org.uk", look), walk("two.org.uk", look), strict=False)
