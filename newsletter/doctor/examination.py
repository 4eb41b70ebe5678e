"""All checks in order; where the configuration cannot be read, what does not need it is still looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from newsletter.config.loading import load_config
from newsletter.config.settings import Config
from newsletter.doctor.backups import check_backups
from newsletter.doctor.belongings import check_database, check_keys, check_privacy, check_templates, largest_copy
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.doctor.lookup import Lookup, NameServer
from newsletter.doctor.machine import check_machine
from newsletter.doctor.mail_domain import dns_not_asked, dns_tasks
from newsletter.doctor.outbox import check_outbox
from newsletter.doctor.public_site import site_task
from newsletter.doctor.relay import relay_tasks
from newsletter.doctor.returns import check_returns
from newsletter.doctor.signing import signing_of
from newsletter.doctor.webhooks import check_webhooks
from newsletter.errors import ConfigError
from newsletter.paths import Workspace


def examine(
    workspace: Workspace,
    config_path: Path,
    environ: Mapping[str, str],
    *,
    now: datetime,
    online: bool,
    name_server: NameServer | None = None,
) -> Iterator[Finding]:
    """
    Yield what each check finds, as it is found.

    Args:
        online: Talk to the world: relays and the public site that are elsewhere, and the DNS.
        name_server: Ask this one; given, the DNS is also asked when not *online*.
    """
    config, problems = _read(config_path, environ)
    connections = sum(a.connections for a in config.smtp.all_accounts) if config else None
    yield from check_machine(workspace.root, now, connections=connections)
    yield from check_privacy(workspace, _database_file(config))
    yield check_keys(workspace)
    yield from check_templates(workspace.templates)
    if config is None:
        yield from problems
        return
    yield from _check_config(config, config_path)
    url = config.database.url.get_secret_value() or f"sqlite:///{workspace.database}"
    yield from check_database(url, config.send, now=now)
    yield from check_backups(workspace, url, now)
    yield from check_outbox(config, workspace, url, now)
    yield from check_webhooks(config)
    signing = signing_of(config, workspace.secrets)
    tasks = relay_tasks(config, online=online, now=now, largest_copy=largest_copy(url))
    if online or name_server is not None:
        tasks += dns_tasks(config, Lookup(name_server), signing)
    else:
        tasks.append(lambda: dns_not_asked(signing))
    tasks.append(lambda: list(check_returns(config, online=online)))
    tasks.append(site_task(config, workspace.secrets, online=online, now=now))
    yield from at_once(tasks)


def at_once(tasks: Sequence[Callable[[], list[Finding]]]) -> Iterator[Finding]:
    """Run checks that wait for others side by side; what they find comes in their order."""
    with ThreadPoolExecutor(max_workers=len(tasks)) as threads:
        for findings in threads.map(lambda task: task(), tasks):
            yield from findings


def _read(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    try:
        return load_config(path, environ).config, []
    except ConfigError as error:
        found = [
            fail("configuration", f"{problem.origin}: {problem.key}: {problem.message}", problem.hint)
            for problem in error.problems
        ]
        return None, found


def _database_file(config: Config | None) -> Path | None:
    """Return the SQLite file that `database.url` names; None for the workspace's own, or a server."""
    url = config.database.url.get_secret_value() if config else ""
    if not url.startswith("sqlite:"):
        return None
    name = make_url(url).database
    return Path(name) if name else None


def _check_config(config: Config, path: Path) -> Iterator[Finding]:
    if config.unfinished:
        yield warn("configuration", f"Still to fill in: {', '.join(config.unfinished)}.", f"Write into {path}")
    else:
        yield ok("configuration", f"{path} is complete.")
