"""The page where people look, in a real browser: it needs nothing else, and all that it promises to do works."""

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from browser import Browser, Page
from packages import Missing, unavailable
from PIL import Image
from report_sweep import ITEMS, Synthetic, attacked, half_failed, scene

from omnitok import tracking
from omnitok.exhibits import EXHIBITS, Unfit
from omnitok.exhibits.clips import clips
from omnitok.exhibits.contract import Clips
from omnitok.report.behind import Difference, behind
from omnitok.report.command import pieces_of
from omnitok.report.film import film
from omnitok.report.render import Head, write
from omnitok.report.section import Asked, section
from omnitok.results import gathered
from omnitok.tracking import reconcile

HOSTILE = "a_b&<script>alert(1)</script>%$x^2{}\\|`*#~\"'</style></script><img src=x onerror=alert(2)>\U0001f600"
ROWS = "[...document.querySelectorAll('.ablation tbody')[0].rows].filter(row => !row.hidden)"
BASE = "vq+joint"


def rendered(sweep: Synthetic, out: Path, *show: str, pages: dict[str, str] | None = None) -> Path:
    """Its page, with what is usual unless a test needs less."""
    found = gathered(sweep.stored)
    pieces = pieces_of(found, [EXHIBITS.default(name) for name in show])
    one = section(found, Asked("", "", pieces), (), pages or {})
    return write(Head(found.name), [one], out).page


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthetic, Path]:
    """A sweep that is done but for one run, and its page."""
    folder = tmp_path_factory.mktemp("done")
    sweep = half_failed(folder / "runs")
    return sweep, rendered(sweep, folder / "out")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep whose every name is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    sweep = attacked(folder / "runs", HOSTILE)
    return rendered(sweep, folder / "out", "ablation", "clips")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    try:
        found = Browser(tmp_path_factory.mktemp("profile"))
    except Missing as why:
        unavailable(why)
    yield found
    found.close()


@pytest.fixture
def page(browser: Browser, done: tuple[Synthetic, Path]) -> Iterator[Page]:
    """The page of a sweep, open; afterwards nothing had gone wrong, and nothing was asked of anybody."""
    with alone(browser, done[1]) as page:
        yield page


@contextmanager
def alone(browser: Browser, file: Path, fragment: str = "", **how: Any) -> Iterator[Page]:
    with browser.page(**how) as page:
        page.open(file, fragment)
        yield page
        assert page.errors == []
        assert page.dialogs == []
        assert page.requests == [file.as_uri()]


def labels(page: Page) -> list[str]:
    found: list[str] = page.run(f"{ROWS}.map(row => row.cells[0].textContent + '+' + row.cells[1].textContent)")
    return found


def values(page: Page, column: int) -> list[float]:
    found: list[float] = page.run(f"{ROWS}.map(row => Number(row.cells[{column}].dataset.value))")
    return found


def is_open(page: Page) -> bool:
    return bool(page.run("document.querySelector('#panel').open"))


@pytest.mark.service
def test_a_head_sorts_rows_within_their_block_and_a_third_click_restores_them(page: Page) -> None:
    before, baselines = labels(page), page.run("document.querySelectorAll('.ablation tbody')[1].textContent")
    head = ".ablation thead tr:last-child th:nth-child(3)"
    for direction, sign in (("ascending", 1), ("descending", -1)):
        page.click(f"{head} .sort")
        found = values(page, 2)
        assert found == sorted(found, key=lambda value, sign=sign: sign * value)
        assert page.run(f"document.querySelector('{head}').ariaSort") == direction
        assert page.run("document.querySelectorAll('[aria-sort=ascending], [aria-sort=descending]').length") == 1
    assert labels(page) != before
    page.click(f"{head} .sort")
    assert labels(page) == before
    assert page.run(f"document.querySelector('{head}').ariaSort") == "none"
    title, *rest = page.run(
        "[...document.querySelectorAll('.ablation tbody')[1].rows].map(row => row.textContent.trim())"
    )
    assert title == "Baselines"
    assert sorted(rest) == sorted(line for line in rest if line in baselines)


@pytest.mark.service
def test_words_are_sorted_by_the_keyboard_too(page: Page) -> None:
    page.run("document.querySelector('.ablation thead tr:last-child th .sort').focus()")
    page.press("Enter")
    assert [label.partition("+")[0] for label in labels(page)] == ["fsq", "fsq", "vq", "vq"]
    page.press(" ")
    assert [label.partition("+")[0] for label in labels(page)] == ["vq", "vq", "fsq", "fsq"]


@pytest.mark.service
def test_holes_are_sorted_last_whichever_way(browser: Browser, tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.write()
    sweep.fail(sweep.last("vq+progressive", 0))
    with alone(browser, rendered(sweep, tmp_path / "out", "ablation")) as page:
        for _ in range(2):
            page.click(".ablation thead tr:last-child th:nth-child(3) .sort")
            assert labels(page)[-1] == "vq+progressive"


@pytest.mark.service
def test_the_filter_keeps_rows_with_every_word_and_says_how_many(page: Page) -> None:
    said = "document.querySelector('.filter [role=status]').textContent"
    assert page.run(said) == "6 rows of 6"
    page.click(".filter input")
    page.type("PROG vq")
    assert labels(page) == ["vq+progressive"]
    assert page.run(said) == "1 row of 6"
    assert page.run("document.querySelector('.ablation .block').closest('tr').hidden")
    page.run("document.querySelector('.filter input').select()")
    page.type("colour")
    assert labels(page) == []
    assert not page.run("document.querySelector('.ablation .block').closest('tr').hidden")


@pytest.mark.service
def test_a_cell_says_its_numbers_under_the_pointer_and_under_the_focus(page: Page) -> None:
    tip, cell = "document.querySelector('#tip')", ".ablation tbody td.value a"
    page.run(f"document.querySelector('{cell}').focus()")
    assert re.match(r"mean [\d.]+, sd [\d.]+, n = 3 of 3; runs ", page.run(f"{tip}.textContent"))
    assert page.run(f"document.querySelector('{cell}').getAttribute('aria-describedby')") == "tip"
    assert not page.run(f"{tip}.hidden")
    page.press("Escape")
    assert page.run(f"{tip}.hidden")
    page.hover(f"{cell} .mean")
    page.wait(f"!{tip}.hidden")
    inside = page.run(
        f"(r => r.left >= 0 && r.right <= innerWidth && r.bottom <= innerHeight)({tip}.getBoundingClientRect())"
    )
    assert inside
    assert page.run("document.querySelectorAll('main [title]').length") == 0


@pytest.mark.service
def test_every_cell_leads_to_its_runs_and_escape_leads_back(page: Page, done: tuple[Synthetic, Path]) -> None:
    assert page.run(
        f"{ROWS}.every(row => [...row.querySelectorAll('td.value')].every(cell => cell.querySelector('a')))"
    )
    link = '.ablation tbody tr:nth-child(4) td.value a[href="#runs-quickstart-4"]'
    before = page.run("(document.querySelector('.ablation').scrollIntoView(), scrollY)")
    page.click(link)
    assert is_open(page)
    assert page.run("location.hash") == "#runs-quickstart-4"
    text = page.run("document.querySelector('#panel').innerText")
    for digest in (done[0].last("fsq+progressive", seed) for seed in (0, 1, 2)):
        assert digest in text
    assert "failed" in text
    assert page.run("document.querySelectorAll('#panel svg path').length") == 6
    assert page.run("[...document.querySelectorAll('#panel img')].every(one => one.complete && one.naturalWidth > 0)")
    assert page.run("document.querySelector('#panel').contains(document.activeElement)")
    page.press("Escape")
    page.wait("location.hash === ''")
    assert not is_open(page)
    assert page.run(f"document.activeElement.matches({link!r})")
    assert abs(page.run("scrollY") - before) < 900
    assert page.run("document.querySelectorAll('.details > .behind').length") == 7


@pytest.mark.service
def test_a_link_from_elsewhere_opens_on_load_and_going_back_closes(
    browser: Browser, done: tuple[Synthetic, Path]
) -> None:
    with alone(browser, done[1], "runs-quickstart-2") as page:
        assert is_open(page)
        assert "vq+progressive" in page.run("document.querySelector('#panel').innerText")
        page.click("#panel .close")
        page.wait("!document.querySelector('#panel').open && location.hash === ''")
        page.click('a[href="#claim-quickstart-1"]')
        assert "progressive is better than joint" in page.run("document.querySelector('#panel').innerText")
        page.run("history.back()")
        page.wait("!document.querySelector('#panel').open")


@pytest.mark.service
def test_hostile_names_stay_words(browser: Browser, hostile: Path) -> None:
    with alone(browser, hostile) as page:
        assert page.run("document.title") == HOSTILE
        assert page.run("document.querySelectorAll('script').length") == 1
        page.click(".ablation tbody td.value a")
        assert page.run("document.querySelector('#panel h3').textContent") == HOSTILE
        page.press("Escape")
        page.click(".filter input")
        page.type(HOSTILE)
        page.hover(".ablation tbody td.value a")


@pytest.mark.service
def test_without_scripts_links_lead_into_the_page(browser: Browser, done: tuple[Synthetic, Path]) -> None:
    with browser.page(scripts=False) as page:
        page.open(done[1], "runs-quickstart-2")
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        assert page.run("document.querySelector('.behind:target').textContent").strip().startswith("vq+progressive")
        assert page.run("scrollY") > 0
        assert page.run("document.querySelectorAll('dialog, .filter, button, [aria-sort]').length") == 0
        assert page.run("document.querySelectorAll('.ablation td[title]').length") > 0
        assert page.errors == []


@pytest.mark.service
def test_films_play_together(page: Page) -> None:
    films = "[...document.querySelectorAll('video')]"
    assert page.run(f"{films}.length") == 2 * 7
    assert page.run(f"{films}.every(one => one.muted && one.loop && one.controls && one.paused)")
    page.wait(f"{films}.every(one => one.readyState >= 1)")
    assert page.run(f"[{films}[0].videoWidth, {films}[0].videoHeight, {films}[0].duration]") == [128, 128, 9 / 8]
    page.click(".films .play")
    page.wait(f"{films}.every(one => one.currentTime > 0)")
    page.wait("document.querySelector('.play').textContent === 'Pause all'")
    page.click(".films .play")
    assert page.run(f"{films}.every(one => one.paused)")


@pytest.mark.service
@pytest.mark.parametrize("width", [400, 1200])
def test_no_page_is_wider_than_its_window(
    browser: Browser, done: tuple[Synthetic, Path], hostile: Path, width: int
) -> None:
    for file in (done[1], hostile):
        with alone(browser, file, width=width) as page:
            assert page.run("document.documentElement.scrollWidth") == width
            page.click(".ablation tbody td.value a")
            assert page.run("(panel => panel.scrollWidth - panel.clientWidth)(document.querySelector('#panel'))") == 0


@pytest.mark.service
def test_the_page_is_dark_where_people_want_it_and_black_on_white_in_print(page: Page) -> None:
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    figure = "getComputedStyle(document.querySelector('figure img')).backgroundColor"
    page.emulate(dark=True)
    assert max(page.run(shade)) < 64
    assert page.run(figure) == "rgb(255, 255, 255)"
    page.emulate(dark=True, print_=True)
    assert page.run(shade) == [255, 255, 255]
    hidden = (
        "['.filter', '.films', '.sample', '.skip'].map(one => getComputedStyle(document.querySelector(one)).display)"
    )
    assert page.run(hidden) == ["none"] * 4
    assert page.run("document.querySelector('.details .behind').checkVisibility()")


@pytest.mark.service
def test_what_screen_readers_are_told(page: Page) -> None:
    assert page.run("[...document.querySelectorAll('thead th')].every(head => head.scope)")
    assert page.run("[...document.querySelectorAll('img')].every(one => one.alt)")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
    assert {"main", "table", "columnheader", "rowheader", "searchbox", "status", "heading"} <= roles
    mute = [node for node in tree if not node.get("ignored") and not node.get("name", {}).get("value")
            and node["role"]["value"] in {"button", "link", "searchbox", "region", "image", "Video", "dialog"}]  # fmt: skip
    assert mute == []
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"


@pytest.mark.service
def test_sections_have_a_table_of_contents(browser: Browser, tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        sweep = Synthetic(tmp_path / name, seeds=(0,), factors={"model.quantizer": ["vq", name]})
        sweep.name, sweep.pictures = name, False
        found.append(section(gathered(sweep.store())))
    with alone(browser, write(Head("two"), found, tmp_path / "out").page) as page:
        assert page.run("[...document.querySelectorAll('nav a')].map(one => one.textContent)") == ["first", "second"]
        assert page.run("[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.hash))")


def test_choices_that_differ_from_the_base_arm_are_said(done: tuple[Synthetic, Path]) -> None:
    found = {of.name: of for of in behind(gathered(done[0].stored), {})}
    assert found[BASE].base == ""
    assert found[BASE].differences == ()
    assert found["fsq+joint"].base == BASE
    assert found["fsq+joint"].differences == (
        Difference("model.quantizer", "vq", "fsq"), Difference("model.quantizer.type", "vq", "fsq"),
    )  # fmt: skip
    assert found["mean_colour"].base == ""


def test_of_arms_that_have_not_begun_only_labels_are_known_to_differ(tmp_path: Path) -> None:
    found = {of.name: of for of in behind(gathered(Synthetic(tmp_path / "runs").store()), {})}
    assert found["fsq+joint"].differences == (Difference("model.quantizer", "vq", "fsq"),)
    assert found["fsq+joint"].sketches == found["fsq+joint"].samples == ()


def test_small_plots_have_the_curves_of_an_arms_own_runs(done: tuple[Synthetic, Path]) -> None:
    of = next(of for of in behind(gathered(done[0].stored), {}) if of.name == "vq+progressive")
    loss, psnr = of.sketches
    assert (loss.quantity, psnr.quantity) == ("train/loss", "val/psnr")
    assert [whose for whose, _ in loss.lines] == ["seed 0", "seed 1", "seed 2"]
    points = [[tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]] for _, path in loss.lines]
    assert all(len(line) == 100 for line in points)
    across = [x for x, _ in points[0]]
    assert across == sorted(across)
    assert loss.ends == (160.0,)
    highest = {line.index(min(line, key=lambda point: point[1])) for line in points}
    assert highest <= {0, 50}  # the loss is highest where a stage begins
    assert loss.along == "images (299 steps), then joint (299 steps)"


def test_samples_stand_below_their_originals(done: tuple[Synthetic, Path]) -> None:
    of = next(of for of in behind(gathered(done[0].stored), {}) if of.name == "mean_colour")
    photos, clips = of.samples
    assert photos.items == tuple(ITEMS["photos"])
    with Image.open(io.BytesIO(decoded(photos.data))) as sheet:
        found = np.asarray(sheet)
    assert found.shape == (128, 64 * 3, 3)
    np.testing.assert_array_equal(found[:64, 64:128], scene(1, 0))
    assert np.ptp(found[64:, :64].reshape(-1, 3), axis=0).max() == 0
    with Image.open(io.BytesIO(decoded(clips.data))) as sheet:
        np.testing.assert_array_equal(np.asarray(sheet)[:64, :64], scene(0, 0))


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_the_more_arms_the_fewer_samples_each_and_no_more_than_twelve_play(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,), factors={"model.quantizer": [f"q{i}" for i in range(14)]})
    sweep.write()
    found = gathered(sweep.stored)
    counts = {len(sample.items) for of in behind(found, {}) for sample in of.samples}
    assert counts == {2, 3}  # clips have two items, and of photos 16 columns show 3 of 48
    (piece,) = clips(found)
    assert isinstance(piece, Clips)
    assert [len(films) for _, films in piece.rows] == [1 + 12] * 2
    assert piece.caption.endswith("The first 12 of 16 arms and baselines.")


def test_a_film_has_the_frames_of_its_strip_and_the_same_bytes_twice(tmp_path: Path) -> None:
    frames = [scene(1, i, size=32) for i in range(5)]
    Image.fromarray(np.concatenate(frames, axis=1)).save(tmp_path / "strip.png")
    made = film(tmp_path / "strip.png", 5)
    assert made == film(tmp_path / "strip.png", 5)
    code = f"from omnitok.report.film import film; from pathlib import Path; import sys; " \
           f"sys.stdout.buffer.write(film(Path({str(tmp_path / 'strip.png')!r}), 5).webm)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == made.webm
    with av.open(io.BytesIO(made.webm)) as container:
        stream = container.streams.video[0]
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.average_rate) == ("vp9", 8)
    assert len(found) == 5
    for frame, shown in zip(frames, found, strict=True):
        wanted = frame.repeat(4, axis=0).repeat(4, axis=1).astype(float)
        assert shown.shape == wanted.shape == (made.height, made.width, 3)
        assert np.abs(shown - wanted).mean() < 4


def test_a_film_of_odd_sides_or_grey_is_made_and_a_strip_of_other_frames_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((129, 2 * 131), 200, np.uint8)).save(tmp_path / "grey.png")
    made = film(tmp_path / "grey.png", 2)
    assert (made.width, made.height) == (132, 130)
    with pytest.raises(ValueError, match=r"grey\.png is 262 pixels wide, which 3 frames do not divide"):
        film(tmp_path / "grey.png", 3)


def test_clips_of_what_does_not_move_or_is_not_there_are_refused(done: tuple[Synthetic, Path]) -> None:
    with pytest.raises(Unfit, match=r"photos is of pictures, which do not move \(of videos: clips\)"):
        clips(gathered(done[0].stored), evaluations=("photos",))
    with pytest.raises(Unfit, match="did you mean 'clips'"):
        clips(gathered(done[0].stored), evaluations=("clps",))
    (piece,) = clips(gathered(done[0].stored), arms=("fsq+joint",), caption="Look.")
    assert isinstance(piece, Clips)
    assert piece.caption == "Look."
    assert [clip.title for clip in piece.rows[0][1]] == ["original", "fsq+joint", *done[0].baselines]


def test_clips_are_of_evaluations_that_move(done: tuple[Synthetic, Path]) -> None:
    (piece,) = clips(gathered(done[0].stored))
    assert isinstance(piece, Clips)
    assert (piece.stem, piece.frames) == ("clips-clips", 9)
    assert [item for item, _ in piece.rows] == ITEMS["clips"]
    assert [clip.title for clip in piece.rows[0][1]] == ["original", *done[0].arms, *done[0].baselines]
    files = {path.name for path in (done[1].parent / "figures").glob("*.webm")}
    assert len(files) == 14
    text = (done[1].parent / "report.md").read_text()
    assert set(re.findall(r"\(figures/([^)]+\.webm)\)", text)) == files


def test_a_page_links_its_runs_in_mlflow_where_a_server_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.pictures = False
    sweep.write()
    known = [sweep.last(arm, 0) for arm in sweep.arms]
    stored = [SimpleNamespace(data=SimpleNamespace(tags={"omnitok.digest": one}), id=one) for one in (*known, "others")]
    stored.append(SimpleNamespace(data=SimpleNamespace(tags={"omnitok.trial": "x"}), id="trial"))

    @contextmanager
    def opened(root: Path, uri: str) -> Iterator[Any]:
        yield SimpleNamespace(runs=lambda: iter(stored), link=lambda run: f"#/experiments/1/runs/{run.id}")

    monkeypatch.setattr(reconcile, "opened", opened)
    pages = tracking.pages(tmp_path, "https://somebody:secret@host:5000/", known)
    assert pages == {one: f"https://host:5000/#/experiments/1/runs/{one}" for one in known}
    assert tracking.pages(tmp_path, "sqlite:///x.db", known) == {}
    text = rendered(sweep, tmp_path / "out", "ablation", pages=pages).read_text()
    assert set(re.findall(r'class="mlflow" href="([^"]+)"', text)) == set(pages.values())
    assert 'class="mlflow"' not in rendered(sweep, tmp_path / "without", "ablation").read_text()
