"""
The pages of the site as finished HTML, in the language that is asked for.

Every page carries one style and one script, each allowed by its hash and by nothing else. The script is the quick exit:
without it the exit is a plain link, and nothing on a page needs it. Nothing remote is loaded.

No page is handed a name, an address or a list: what a page is not given it cannot show.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from newsletter.config.settings import Organisation, Web
from newsletter.errors import TemplateError
from newsletter.render.links import requests_url
from newsletter.web.catalogues import read_catalogues
from newsletter.web.languages import Languages, Wanted, choose, keep, languages_of, switches, words_in

STYLE_FILE, SCRIPT_FILE = "web/style.css", "web/exit.js"
TEMPLATES = "web/"


@dataclass(frozen=True, slots=True)
class Pages:
    """
    The templates of the site, ready to render.

    Attributes:
        script: Of the quick exit, as every page carries it.
        exit_url: Where the quick exit leads.
        requests_url: The page for complaints and for one's own data.
    """

    environment: ImmutableSandboxedEnvironment
    organisation: Organisation
    style: str
    script: str
    exit_url: str
    requests_url: str
    languages: Languages

    @property
    def style_hash(self) -> str:
        return content_hash(self.style)

    @property
    def script_hash(self) -> str:
        return content_hash(self.script)

    def render(self, name: str, wanted: Wanted, *, person_language: str = "", **values: object) -> tuple[str, str]:
        """
        Render ``templates/web/NAME.html.j2``.

        Args:
            wanted: What the request says about languages.
            person_language: What the person of the page has chosen; empty where the page knows nobody.

        Returns:
            The page and its language.
        """
        language, asked = choose(wanted, person_language, self.languages.default, self.languages.offered)
        words = words_in(self.languages, language)
        page = self.environment.get_template(f"web/{name}.html.j2").render(
            **{"languages": switches(self.languages, wanted, language), "asked_language": asked, **words, **values},
            organisation=self.organisation,
            exit_url=self.exit_url,
            requests_url=self.requests_url,
            style=Markup(self.style),  # noqa: S704  # ours
            exit_script=Markup(self.script),  # noqa: S704  # ours
        )
        return keep(page, asked), language

    def say(self, text: str, wanted: Wanted, *, person_language: str = "", **values: object) -> str:
        """Return a marked text as `render` shows it on a page of the same request and person."""
        language, _ = choose(wanted, person_language, self.languages.default, self.languages.offered)
        return self.languages.catalogues[language].gettext(text) % values


def content_hash(text: str) -> str:
    """Return what a Content-Security-Policy names an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def load_pages(template_folders: Sequence[Path], organisation: Organisation, *, web: Web) -> Pages:
    """
    Compile the templates of the site; a workspace's own file wins over the shipped one.

    They stay as they are now for the life of the process: a template that is being edited never breaks the site.

    Raises:
        TemplateError: When one cannot be read or compiled, with file and line.
    """
    loader = FileSystemLoader([folder for folder in template_folders if folder.is_dir()])
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # the extension adds it
    environment.policies["ext.i18n.trimmed"] = True
    names = environment.list_templates(filter_func=lambda name: name.startswith(TEMPLATES) and name.endswith(".j2"))
    try:
        for name in names:
            environment.get_template(name)
        style, script = (loader.get_source(environment, name)[0] for name in (STYLE_FILE, SCRIPT_FILE))
    except TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.filename or error.name}, line {error.lineno}: {error.message}",
            hint="Mend the template, or take your own version away to use the one that ships.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"A template of the site cannot be read: {error}.") from None
    languages = languages_of(read_catalogues(template_folders), organisation.language)
    return Pages(environment, organisation, style, script, web.exit_url, requests_url(web.url), languages)
