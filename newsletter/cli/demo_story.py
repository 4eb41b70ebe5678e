"""
What the demonstration shows, step by step; every number of its report is counted from what happened.

Two issues: the first to 500 people, of whom one does not exist and one leaves by the link in the mail; the second,
sent by the worker of `newsletter serve` at its time, skips both.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from newsletter.cli.demo_commands import Commands, DemoFailed, free_port
from newsletter.demo import member
from newsletter.demo.catcher import Catcher
from newsletter.demo.place import WEB_URL, Place, add_late_news, write_config

REFUSED = "jo.harper@coldwell-council.example"
CHAIR = "ruth.adeyemi@wrenfieldvale.example"
LEAVES = "rowan.ellis@post.example"
LIST = "members"
EVIDENCE = "joined at the network's meetings, paper forms in folder 12"
SOURCES = (
    ("feed", "feed.xml", "news"),
    ("wordpress", "wordpress.json", "harbour-trust"),
    ("calendar", "calendar.ics", "calendar"),
    ("markdown", "handbook", "handbook"),
)
SEGMENTS = (
    ("duty-teams", "role in ('police', 'council')"),
    ("young-people-east", "town in ('Harrowby', 'Stanmoor') or interests any ('young people')"),
)
FOR_SOME = (("Briefing for duty teams", "duty-teams"), ("Two new counsellors", "young-people-east"))
SUBJECT = "{{first_name|Hello}}, one front desk, and the weeks ahead"
PREHEADER = "A lantern walk, a conference, sixteen new peer supporters, and where to find us"
QUOTE = ("I told my story once, and the next person already knew who I was.", "a visitor to the shared front desk")
START_SOON = timedelta(seconds=3)  # time enough to type it
LONGEST_SEND_SECONDS = 60.0
LOOK_SECONDS = 0.3


@dataclass
class Story:
    """The demonstration in one folder; *shown* is how the person named it."""

    commands: Commands
    place: Place
    catcher: Catcher
    shown: Path

    def tell(self, begun: float) -> dict[str, Any]:
        """Run everything and return the report, which also lies in `report.json`."""
        self._title()
        web_port = self._workspace()
        self._gather()
        people = self._people()
        slug = self._compose()
        self._check_and_render(slug)
        first = self._send(slug)
        with self.commands.serving(web_port, self.place.serve_log) as site:
            self._unsubscribe(slug, site)
            second_slug, second = self._second_issue()
        report = {
            **self._count_items(slug),
            "subscribers": people,
            "planned": first["planned"],
            "sent": first["sent"],
            "bounced": first["bounced"],
            "unsubscribed": self._count_unsubscribed(),
            "received_by_catcher": len(list((self.place.caught / slug).glob("*.eml"))),
            "seconds": round(time.monotonic() - begun, 1),
        }
        text = json.dumps(report, indent=2) + "\n"
        (self.place.root / "report.json").write_text(text, encoding="utf-8")
        self._report(slug, report, second_slug, second)
        return report

    def _title(self) -> None:
        say = self.commands.say
        say()
        say("Wrenfield Vale Network: from nine services to five hundred inboxes", bold=True)
        say(
            "The network and its people are invented. Nothing leaves this machine: mail goes to a catcher on "
            f"127.0.0.1:{self.catcher.port}. The commands are what you would type in {self.shown}."
        )

    def _step(self, number: int, title: str) -> None:
        self.commands.say()
        self.commands.say(f"  {number}  {title}", hang=5, bold=True, fg="green")

    def _tell(self, text: str) -> None:
        self.commands.say(f"     {text}")

    def _workspace(self) -> int:
        self._step(1, "A workspace")
        web_port = free_port()
        write_config(self.place, smtp_port=self.catcher.port, web_port=web_port)
        self.commands.run("init", str(self.place.root))
        self._tell("configuration, keys, folders and a SQLite database")
        return web_port

    def _gather(self) -> None:
        self._step(2, "Gather what members published")
        for kind, location, name in SOURCES:
            self.commands.run("source", "add", kind, str(self.place.network / location), "--name", name)
        self.commands.run("source", "fetch", bar=True)
        items = self.commands.run("library", "list", show=False)
        kinds = {kind: sum(1 for item in items if item["kind"] == kind) for kind in ("post", "event", "resource")}
        twice = sum(1 for item in items if "," in item["source"])
        off = sum(1 for item in items if item["state"] == "cancelled")
        self._tell(
            f"{kinds['post']} posts, {kinds['event']} dates of events ({off} called off), {kinds['resource']} resources"
            + (f"; {twice} story came twice and is kept once" if twice == 1 else "")
        )

    def _people(self) -> int:
        self._step(3, "Bring in the people, with their consent on record")
        run = self.commands.run
        run("lists", "create", LIST, "--title", "Wrenfield Vale newsletter")
        members = str(self.place.network / "members.csv")
        came = run(
            "subscribers", "import", members, "--list", LIST, "--basis", "consent", "--evidence", EVIDENCE, bar=True
        )
        self._tell(f"{came['read']} rows read, {came['new']} people new, {came['refused']} refused")
        for name, expression in SEGMENTS:
            run("segments", "create", name, expression)
            self._tell(f"{run('segments', 'count', name, show=False)['count']} people in {name}")
        return int(came["new"])

    def _compose(self) -> str:
        self._step(4, "Compose an issue")
        run = self.commands.run
        drafted = run("issue", "draft")
        slug: str = drafted["issue"]
        run("issue", "set", slug, f"subject={SUBJECT}", f"preheader={PREHEADER}")
        signed = ("--name", "Ruth Adeyemi", "--role", "Chair", "--photograph", str(self.place.portrait))
        run("issue", "letter", slug, "--file", str(self.place.network / "letter.md"), *signed)
        run("issue", "add", slug, "--section", "resources", "--quote", QUOTE[0], "--by", QUOTE[1])
        for title, segment in FOR_SOME:
            run("issue", "set", slug, f"{self._block(slug, title)}.audience=segment '{segment}'")
        run("audience", "set", slug, "--list", LIST)
        counted = self._count_items(slug)
        self._tell(
            f"{counted['posts']} posts and {counted['events']} coming events, resources and a quotation; "
            f"{len(FOR_SOME)} blocks are only for some readers"
        )
        return slug

    def _check_and_render(self, slug: str) -> None:
        self._step(5, "Test, check and render")
        self.catcher.into(self.place.caught / "test")
        self.commands.run("issue", "test", slug, "--to", CHAIR)
        report = self.commands.run("issue", "check", slug)
        self._tell(f"{len(report['blocks'])} things block, {len(report['warnings'])} to look at")
        for warning in report["warnings"]:
            self._tell(f"  - {warning['message']}")
        self.commands.run("issue", "render", slug, "--out", str(self.place.root))
        self.commands.run("issue", "preview", slug)
        variants = len(list(self.place.root.glob("issue*.html")))
        size = (self.place.root / "issue.html").stat().st_size
        self._tell(f"{variants} versions, one for each set of items that somebody sees; {size / 1000:.0f} kB of HTML")

    def _send(self, slug: str) -> dict[str, Any]:
        self._step(6, "Send")
        self.catcher.into(self.place.caught / slug)
        self.commands.run("issue", "send", slug, codes=(0, 4), bar=True)
        counts: dict[str, Any] = self.commands.run("issue", "status", slug)
        self._tell(_counted(counts))
        kept = len(list(self.catcher.folder.glob("*.eml")))
        self._tell(f"the catcher keeps {kept} mails; it refused {len(self.catcher.refusals)} address: 550 5.1.1")
        if counts["state"] != "sent" or counts["bounced"] != len(self.catcher.refusals):
            raise DemoFailed(f"The issue {slug} is {counts['state']}: {_counted(counts)}.")
        return counts

    def _unsubscribe(self, slug: str, site: str) -> None:
        self._step(7, "Somebody leaves, by the link in the mail")
        mails = self.catcher.to(LEAVES)
        if len(mails) != 1:
            raise DemoFailed(f"{LEAVES} has {len(mails)} mails of {slug}, not one.")
        link = member.unsubscribe_link(mails[0].path)
        member.unsubscribe(link, site)
        self._tell(f"POST {link[: len(WEB_URL) + 22]}...  List-Unsubscribe=One-Click")
        self._tell(f"answered by the running site at {site}, which stands in for {WEB_URL}")
        if self._count_unsubscribed() != 1:
            raise DemoFailed("The unsubscribe left no mark on the list.")

    def _second_issue(self) -> tuple[str, dict[str, Any]]:
        self._step(8, "A second, short issue, sent by the worker at its time")
        run = self.commands.run
        add_late_news(self.place, datetime.now(UTC).date())
        run("source", "fetch", "handbook")
        slug: str = run("issue", "draft")["issue"]
        run("issue", "set", slug, "subject=The conference is full", "preheader=There is a waiting list")
        run("audience", "set", slug, "--list", LIST)
        run("issue", "approve", slug)
        self.catcher.into(self.place.caught / slug)
        at = (datetime.now(UTC) + START_SOON).isoformat(timespec="seconds")
        run("issue", "schedule", slug, "--at", at)
        counts = self._wait_until_sent(slug)
        self._tell(_counted(counts))
        again = [mail.recipient for mail in self.catcher.caught if mail.path.parent.name == slug]
        if {REFUSED, LEAVES} & {address.lower() for address in again}:
            raise DemoFailed("The second issue reached somebody whom it had to skip.")
        self._tell("skipped: the address that does not exist, and the member who left")
        return slug, counts

    def _wait_until_sent(self, slug: str) -> dict[str, Any]:
        deadline = time.monotonic() + LONGEST_SEND_SECONDS
        with self.commands.output.progress("The worker sends", None) as bar:
            while time.monotonic() < deadline:
                counts: dict[str, Any] = self.commands.run("issue", "status", slug, show=False)
                bar.update(counts["sent"], total=counts["planned"] or None)
                if counts["state"] in ("sent", "paused", "cancelled"):
                    break
                time.sleep(LOOK_SECONDS)
        if counts["state"] != "sent":
            raise DemoFailed(f"The issue {slug} is {counts['state']}: {counts['reason'] or _counted(counts)}")
        return counts

    def _block(self, slug: str, title: str) -> int:
        for section in self.commands.run("issue", "show", slug, show=False)["sections"]:
            for block in section["blocks"]:
                if str(block.get("title") or "").startswith(title):
                    return int(block["id"])
        raise DemoFailed(f"The draft {slug} has no '{title}'.")

    def _count_items(self, slug: str) -> dict[str, int]:
        items = self.commands.run("library", "list", show=False)
        used = [item["kind"] for item in items if slug in item["used_in"]]
        return {"posts": used.count("post"), "events": used.count("event")}

    def _count_unsubscribed(self) -> int:
        return len(self.commands.run("subscribers", "list", "--state", "unsubscribed", show=False))

    def _report(self, slug: str, report: dict[str, Any], second_slug: str, second: dict[str, Any]) -> None:
        say, folder = self.commands.say, self.shown
        say()
        say("Report", bold=True)
        for name, value in report.items():
            say(f"  {name.replace('_', ' '):<22}{value:>8}")
        say(f"  {'second issue, sent':<22}{second['sent']:>8}  of {second['planned']} planned")
        say()
        say("Look at", bold=True)
        for path, what in (
            (f"outbox/preview-{slug}.html", "the issue in a browser: wide, narrow, dark, as text"),
            ("issue.html", "the issue as mail; issue.2.html and so on are its other versions"),
            ("issue.txt", "its plain-text twin"),
            ("sample.eml", "one member's whole message"),
            (f"caught/{slug}/", "every mail as it arrived"),
            (f"caught/{second_slug}/", "the second issue"),
            ("report.json", "these numbers"),
        ):
            say(f"  {folder}/{path}")
            say(f"      {what}")
        say()
        say(f"Go on by yourself: newsletter --workspace {folder} issue show {slug}")


def _counted(counts: dict[str, Any]) -> str:
    names = ("sent", "bounced", "expired", "suppressed", "held", "cancelled", "uncertain", "pending", "deferred")
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    return f"{counts['planned']} planned: {told or 'nothing done yet'}"
