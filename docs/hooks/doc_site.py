"""Hooks of the site: pages from scripts, links that hold, no request to elsewhere."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from doc_scripts import REPOSITORY, Picture, run_script, to_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Files outside docs/ that the site shows, and where.
MIRRORED = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
SCRIPTS = {"notebooks": "notebooks", "docs/gallery": "gallery"}
"""Folders of scripts in the repository, and of their pages on the site."""

_LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)\s#]+)")
_CSS_LOAD = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")
_LOADING_RELATIONS = {"stylesheet", "preconnect", "preload", "icon", "modulepreload"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made and not written."""
    for source, page in MIRRORED.items():
        text = (REPOSITORY / source).read_text("utf-8")
        _add(files, config, page, site_links(text, source, page))
    _add(files, config, "api/command-line.md", command_line())
    run_scripts()
    shown: list[tuple[str, Picture]] = []
    for folder, target in SCRIPTS.items():
        for script in scripts_in(REPOSITORY / folder):
            pictures = _add_script(files, config, script, folder, target)
            if target == "gallery":
                shown += [(script.stem, picture) for picture in pictures]
    index = files.get_file_from_path("gallery/index.md")
    if index is None:
        raise PluginError("docs/gallery/index.md is missing")
    index.content_string = f"{index.content_string}\n{gallery_cards(shown)}"
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Let links out of ``docs/`` lead to the pages that show those files."""
    uri = page.file.src_uri
    return (
        markdown if page.file.generated_by else site_links(markdown, f"docs/{uri}", uri)
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from elsewhere.

    Raises
    ------
    PluginError
        Naming the page and what it loads.
    """
    site = Path(config.site_dir)
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        loads = external_loads(path.read_text("utf-8"), is_css=path.suffix == ".css")
        if loads:
            raise PluginError(
                f"{path.relative_to(site)} loads {', '.join(loads)} from elsewhere"
            )


def run_scripts() -> None:
    """Run all scripts, two at a time; the gallery's in turn, since they share a run."""
    notebooks = [[path] for path in scripts_in(REPOSITORY / "notebooks")]
    groups = [scripts_in(REPOSITORY / "docs" / "gallery"), *notebooks]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda group: [run_script(path) for path in group], groups))


def scripts_in(folder: Path) -> list[Path]:
    """Percent scripts in a folder, by name."""
    return [p for p in sorted(folder.glob("*.py")) if "# %%" in p.read_text("utf-8")]


def site_links(markdown: str, source: str, page: str) -> str:
    """Rewrite relative links of a file in the repository for its page on the site.

    Parameters
    ----------
    markdown : str
        Text.
    source, page : str
        Path of the file in the repository, and of its page on the site.
    """

    def move(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        target = MIRRORED.get(target) or target.removeprefix("docs/")
        if target.endswith(".py"):
            target = f"{target.removesuffix('.py')}.md"
        return link[1] + posixpath.relpath(target, posixpath.dirname(page) or ".")

    return _LINK.sub(move, markdown)


def command_line() -> str:
    """Page of every command and its options, as the program itself has them."""
    module = [sys.executable, "-m", "typer", "boldformer.cli"]
    asked = [*module, "utils", "docs", "--name", "boldformer", "--title", "Commands"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def gallery_cards(shown: list[tuple[str, Picture]]) -> str:
    """Cards, one a picture, that lead to the pages that made them."""
    cards = [
        f"- [![{picture.alt}]({stem}/{picture.name})]({stem}.md#{_slug(picture)})\n\n"
        f"    {picture.heading}"
        for stem, picture in shown
    ]
    body = "\n\n".join(cards)
    return f'<div class="grid cards gallery" markdown>\n\n{body}\n\n</div>\n'


def external_loads(text: str, *, is_css: bool = False) -> list[str]:
    """List what a page or a style sheet would fetch from another host."""
    if is_css:
        return _CSS_LOAD.findall(text)
    reader = _Loads()
    reader.feed(text)
    return reader.found


class _Loads(HTMLParser):
    """Collects addresses on other hosts that a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        loads = [given.get("src", ""), *given.get("srcset", "").split(", ")]
        if tag == "link" and _LOADING_RELATIONS & set(given.get("rel", "").split()):
            loads.append(given.get("href", ""))
        self.found += [one for one in loads if re.match(r"(https?:)?//", one)]
        self.found += _CSS_LOAD.findall(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += _CSS_LOAD.findall(data)


def _add(files: Files, config: MkDocsConfig, uri: str, content: str | bytes) -> None:
    files.append(File.generated(config, uri, content=content))


def _add_script(
    files: Files, config: MkDocsConfig, script: Path, folder: str, target: str
) -> list[Picture]:
    notebook = run_script(script)
    markdown, pictures = to_page(notebook, script.stem)
    title, _, rest = markdown.partition("\n")
    name = f"{script.stem}.ipynb"
    download = f"[Download this page as a notebook]({name}){{ .download }}"
    page = f"{target}/{script.stem}.md"
    text = site_links(f"{title}\n\n{download}\n{rest}", f"{folder}/{script.name}", page)
    _add(files, config, page, text)
    _add(files, config, f"{target}/{name}", nbformat.writes(notebook))
    for picture in pictures:
        uri = f"{target}/{script.stem}/{picture.name}"
        _add(files, config, uri, picture.content)
    return pictures


def _slug(picture: Picture) -> str:
    return re.sub(r"[^\w\- ]", "", picture.heading.lower()).strip().replace(" ", "-")
