"""All checks in order; where the configuration cannot be read, what does not need it is still looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from newsletter.config import Config
from newsletter.config_loading import load_config
from newsletter.doctor.belongings import check_database, check_keys, check_privacy, check_templates
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.doctor.machine import check_machine
from newsletter.doctor.outbox import check_outbox
from newsletter.doctor.relay import check_relays
from newsletter.errors import ConfigError
from newsletter.paths import Workspace


def examine(
    workspace: Workspace, config_path: Path, environ: Mapping[str, str], *, now: datetime, online: bool
) -> Iterator[Finding]:
    """Yield what each check finds, as it is found."""
    yield from check_machine(workspace.root, now)
    yield from check_privacy(workspace)
    yield check_keys(workspace)
    yield from check_templates(workspace.templates)
    try:
        config = load_config(config_path, environ).config
    except ConfigError as error:
        for problem in error.problems:
            yield fail("configuration", f"{problem.origin}: {problem.key}: {problem.message}", problem.hint)
        return
    yield from _check_config(config, config_path)
    url = config.database.url.get_secret_value() or f"sqlite:///{workspace.database}"
    yield from check_database(url)
    yield from check_outbox(config, workspace, url, now)
    yield from check_relays(config, online=online)


def _check_config(config: Config, path: Path) -> Iterator[Finding]:
    if config.unfinished:
        yield warn("configuration", f"Still to fill in: {', '.join(config.unfinished)}.", f"Write into {path}")
    else:
        yield ok("configuration", f"{path} is complete.")
