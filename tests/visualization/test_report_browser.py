"""The report in a headless browser: it renders, and its script runs."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--dump-dom",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium binary on the path"),
]


def _open_in_browser(page, profile):
    return subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={profile}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_a_browser_shows_it_without_complaint(finished, tmp_path):
    shown = _open_in_browser(finished / "report.html", tmp_path)
    assert "CONSOLE" not in shown.stderr
    # Buttons exist only if the page's own script passed its security policy.
    assert re.search(r"<th[^>]*><button type=\"button\">", shown.stdout)


def test_tables_can_be_sorted(finished, tmp_path):
    html = (finished / "report.html").read_text("utf-8")
    click = "<script>document.querySelectorAll('#groups th button')[2].click()</script>"
    unlocked = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    page = tmp_path / "page.html"
    page.write_text(unlocked.replace("</body>", f"{click}</body>"), "utf-8")
    section = _open_in_browser(page, tmp_path / "profile").stdout
    section = section.partition('id="groups"')[2].partition("</section>")[0]
    assert 'aria-sort="descending"' in section
    rows = section.partition("<tbody>")[2].split("</tr>")[:-1]
    ours = [float(re.findall(r'data-sort="([^"]*)"', row)[0]) for row in rows]
    assert len(ours) == 12
    assert ours == sorted(ours, reverse=True)
