"""Run percent scripts as notebooks and turn what came out into pages."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "build" / "notebooks"
CELL_TIMEOUT_S = 300
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# What pandas brings to look right elsewhere; here the theme styles tables.
_PANDAS = re.compile(
    r"<style scoped>.*?</style>\s*| border=\"1\" class=\"dataframe\"", re.DOTALL
)


@dataclass(frozen=True)
class Picture:
    """A picture that a script made.

    Parameters
    ----------
    name : str
        File name.
    content : bytes
        PNG.
    heading : str
        Heading that it stands under.
    alt : str
        What it shows, for those who cannot see it.
    width : int or None
        Pixels of a screen that it should take; its own size if None.
    """

    name: str
    content: bytes
    heading: str
    alt: str
    width: int | None


def run_script(script: Path) -> NotebookNode:
    """Run a percent script from top to bottom in a kernel of its own.

    It runs in an empty folder that is removed afterwards. What came out is kept in
    ``build/notebooks`` until the script or the package changes, so that the site and
    the tests run each script once between them.

    Parameters
    ----------
    script : Path
        Script in jupytext's percent format. Modules beside it can be imported.

    Returns
    -------
    NotebookNode
        The notebook with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell raises, unless it is tagged ``raises-exception``.
    """
    kept = CACHE / f"{script.stem}-{_hash(script)}.ipynb"
    if kept.is_file():
        return nbformat.read(kept, as_version=4)
    notebook = jupytext.read(script)
    notebook.metadata.setdefault("kernelspec", _kernel())
    with tempfile.TemporaryDirectory(prefix="boldformer-notebook-") as folder:
        NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            extra_arguments=["--InlineBackend.figure_formats={'png2x'}"],
            resources={"metadata": {"path": folder}},
        ).execute(env=_environment(script.parent))
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_name(f"{kept.name}.{os.getpid()}")
    nbformat.write(notebook, unfinished)
    unfinished.replace(kept)
    return notebook


def _kernel() -> dict[str, str]:
    return {"name": "python3", "display_name": "Python 3", "language": "python"}


def _environment(folder: Path) -> dict[str, str]:
    """One thread, commands of this environment, modules beside the script."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "PATH": path,
        "PYTHONPATH": str(folder),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # Bars are switched off, and what would draw them need not be installed.
        "PYTHONWARNINGS": "ignore:IProgress not found",
    }


def _hash(script: Path) -> str:
    """Digest of the script, of the modules beside it and of the package."""
    package = (REPOSITORY / "src").rglob("*")
    sources = [p for p in package if p.suffix in {".py", ".tsv", ".j2", ".css", ".js"}]
    helpers = [p for p in script.parent.glob("*.py") if "# %%" not in p.read_text()]
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in [script, *sorted(helpers), *sorted(sources)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def to_page(notebook: NotebookNode, stem: str) -> tuple[str, list[Picture]]:
    """Turn a notebook that was run into Markdown.

    Parameters
    ----------
    notebook : NotebookNode
        With outputs.
    stem : str
        Name of the page without suffix; its pictures lie in a folder of that name.

    Returns
    -------
    markdown : str
    pictures : list of Picture
        In their order on the page.
    """
    parts: list[str] = []
    pictures: list[Picture] = []
    heading = stem
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (_HEADING.findall(cell.source) or [heading])[-1]
            parts.append(cell.source)
        elif cell.cell_type == "code" and cell.source:
            parts.append(f"```python\n{cell.source}\n```")
            for text, picture in _outputs(cell.outputs, stem, heading, len(pictures)):
                parts.append(text)
                pictures += [picture] if picture else []
    return "\n\n".join(parts) + "\n", pictures


def _outputs(
    outputs: list[NotebookNode], stem: str, heading: str, n_before: int
) -> Iterator[tuple[str, Picture | None]]:
    drawn = any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        if drawn and set(output.get("data", {})) == {"text/plain"}:
            continue  # the name of what drew the picture
        if output.output_type == "stream":
            yield _verbatim(output.text), None
        elif output.output_type == "error":
            yield _verbatim(f"{output.ename}: {output.evalue}"), None
        elif "image/png" in output.data:
            n_before += 1
            picture = _picture(output, heading, n_before)
            width = f'{{ width="{picture.width}" }}' if picture.width else ""
            yield f"![{picture.alt}]({stem}/{picture.name}){width}", picture
        else:
            yield _text(output.data), None


def _picture(output: NotebookNode, heading: str, number: int) -> Picture:
    about = output.metadata.get("image/png", {})
    alt = about.get("alt") or heading
    return Picture(
        f"{number}.png",
        base64.b64decode(output.data["image/png"]),
        heading,
        re.sub(r"[\[\]\s]+", " ", alt).strip(),
        about.get("width"),
    )


def _text(data: dict[str, Any]) -> str:
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        return f'<div class="output">{_PANDAS.sub("", data["text/html"])}</div>'
    return _verbatim(data["text/plain"])


def _verbatim(text: str) -> str:
    return f"```{{ .text .output }}\n{_ANSI.sub('', text).rstrip()}\n```"
