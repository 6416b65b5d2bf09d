"""Pages made from scripts: what they show, where links lead, what they load."""

from __future__ import annotations

import base64

import doc_scripts
import nbformat
import pytest
from doc_scripts import Picture, to_page
from doc_site import external_loads, gallery_cards, site_links
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PNG = base64.b64encode(b"picture").decode()


def page_of(*outputs, source="x"):
    cells = [new_markdown_cell("# Title\n\n## Part"), new_code_cell(source)]
    cells[1].outputs = list(outputs)
    return to_page(new_notebook(cells=cells), "page")


def test_text_and_code_come_in_order():
    page, pictures = page_of(new_output("stream", text="\x1b[31mred\x1b[0m\n"))
    assert page.index("## Part") < page.index("```python\nx\n```") < page.index("red")
    assert "\x1b" not in page
    assert pictures == []


def test_a_picture_is_described_by_its_heading_or_its_own_words():
    own = {"image/png": {"alt": "A [map]\nof it", "width": 300}}
    data = {"image/png": PNG, "text/plain": "<Figure>"}
    page, pictures = page_of(
        new_output("display_data", data=data),
        new_output("display_data", data=data, metadata=own),
    )
    assert [p.alt for p in pictures] == ["Part", "A map of it"]
    assert "![Part](page/1.png)\n" in page
    assert '![A map of it](page/2.png){ width="300" }' in page
    assert pictures[0].content == b"picture"


def test_the_name_of_what_drew_a_picture_is_left_out():
    page, _ = page_of(
        new_output("execute_result", data={"text/plain": "Text(0.5, 1.0, 'x')"}),
        new_output("display_data", data={"image/png": PNG}),
    )
    assert "Text(" not in page


def test_a_value_alone_is_shown():
    page, _ = page_of(new_output("execute_result", data={"text/plain": "0.875"}))
    assert "```{ .text .output }\n0.875\n```" in page


def test_a_data_frame_wears_the_styles_of_the_site():
    html = '<div><style scoped>a{}</style><table border="1" class="dataframe">'
    page, _ = page_of(new_output("execute_result", data={"text/html": html}))
    assert "<div><table>" in page
    assert "style" not in page


def test_an_error_is_shown_in_a_line():
    error = new_output("error", ename="InputError", evalue="wanted x", traceback=["…"])
    page, _ = page_of(error)
    assert "InputError: wanted x\n" in page


def run(folder, monkeypatch, code):
    monkeypatch.setattr(doc_scripts, "CACHE", folder / "cache")
    script = folder / "script.py"
    script.write_text(f"# %%\n{code}\n")
    return doc_scripts.run_script(script)


def test_a_script_runs_once_until_it_changes(tmp_path, monkeypatch):
    first = run(tmp_path, monkeypatch, "import uuid; str(uuid.uuid4())")
    again = run(tmp_path, monkeypatch, "import uuid; str(uuid.uuid4())")
    assert again.cells[0].outputs == first.cells[0].outputs
    other = run(tmp_path, monkeypatch, "'another'")
    assert other.cells[0].outputs[0].data["text/plain"] == "'another'"


def test_a_script_leaves_nothing_but_its_outputs(tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, "from pathlib import Path; Path('x').write_text('y')")
    assert not list(tmp_path.rglob("x"))
    (kept,) = (tmp_path / "cache").iterdir()
    nbformat.validate(nbformat.read(kept, as_version=4))


def test_a_script_that_fails_is_not_kept(tmp_path, monkeypatch):
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(tmp_path, monkeypatch, "1 / 0")
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("link", "source", "page", "moved"),
    [
        ("../benchmarks/README.md", "docs/a.md", "a.md", "benchmarks.md"),
        ("b.md#part", "docs/a.md", "a.md", "b.md#part"),
        ("docs/a.md", "CHANGELOG.md", "changelog.md", "a.md"),
        ("../docs/a.md", "notebooks/01.py", "notebooks/01.md", "../a.md"),
        ("02.py", "notebooks/01.py", "notebooks/01.md", "02.md"),
        ("../../notebooks/1.py", "docs/gallery/m.py", "g/m.md", "../notebooks/1.md"),
        ("https://x.org/a.md", "docs/a.md", "a.md", "https://x.org/a.md"),
        ("#part", "docs/a.md", "a.md", "#part"),
        ("images/x.png", "docs/a.md", "a.md", "images/x.png"),
    ],
)  # fmt: skip
def test_links_of_the_repository_hold_on_the_site(link, source, page, moved):
    assert site_links(f"see [it]({link}).", source, page) == f"see [it]({moved})."


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://x.org/a.js"></script>',
        '<img src="//x.org/a.png">',
        '<img srcset="a.png 1x, http://x.org/a.png 2x">',
        '<link rel="stylesheet" href="https://x.org/a.css">',
        '<link rel="preconnect" href="https://x.org">',
        "<style>a{background:url(https://x.org/a.png)}</style>",
        '<p style="background:url(//x.org/a.png)">',
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(text):
    assert len(external_loads(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://x.org">x</a>',
        '<link rel="canonical" href="https://x.org">',
        '<img src="a.png"><script src="../a.js"></script>',
        '<img src="data:image/png;base64,//aa">',
        "<code>url(https://x.org)</code>",
    ],
)
def test_what_a_page_names_without_fetching_is_let_be(text):
    assert external_loads(text) == []


def test_a_style_sheet_is_searched_too():
    assert external_loads("@import 'https://x.org/a.css';", is_css=True)
    assert not external_loads("a{background:url(b.png)}", is_css=True)


def test_a_card_leads_to_the_heading_of_its_picture():
    cards = gallery_cards([("maps", Picture("1.png", b"", "Saliency, leg", "alt", 9))])
    assert "[![alt](maps/1.png)](maps.md#saliency-leg)" in cards
