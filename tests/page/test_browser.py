"""The page in a real browser: it can be read, asks for nothing and fits the screen."""

import pytest

import chromium
from morsescape.page.engine import save_page
from sample_page import sample_page

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")

PHONE, DESK = 390, 1280
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# WCAG's contrast of an element's text with the ground of the page.
CONTRAST = """(selector => {
    const light = color => {
        const [r, g, b] = color.match(/[\\d.]+/g).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const text = light(getComputedStyle(document.querySelector(selector)).color)
    const ground = light(getComputedStyle(document.body).backgroundColor)
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)
})"""


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as running:
        yield running


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "index.html"
    save_page(sample_page(), file)
    return file


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_it_shows_everything_and_fits_the_screen(browser, path, width):
    look = browser.open(path, width=width)
    assert look.console == []
    assert look.external == []
    assert [url for url in look.requests if url.startswith("file:")] == [path.as_uri()]
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate(OVERFLOW) == 0
    assert browser.evaluate("document.title") == "What was found"
    assert browser.evaluate("document.querySelectorAll('main > section').length") == 3
    sizes = browser.evaluate("[...document.images].map(i => [i.naturalWidth, i.complete])")
    assert sizes == [[768, True], [1728, True], [768, True]]
    assert browser.evaluate("document.scripts.length") == 0


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_wide_table_moves_in_its_frame_under_the_names_of_its_rows(browser, path, width):
    browser.open(path, width=width)
    before, after, frame, moved = browser.evaluate(
        """(() => {
            const table = document.querySelectorAll('table')[1], frame = table.parentElement
            const name = table.querySelector('tbody th'), cell = table.querySelector('tbody td')
            const left = element => element.getBoundingClientRect().left
            const before = left(name), was = left(cell)
            frame.scrollLeft = 200
            return [before, left(name), left(frame), was - left(cell)]
        })()"""
    )
    assert before == after == frame
    assert moved == 200
    caption = "document.querySelectorAll('caption span')[1].getBoundingClientRect()"
    assert browser.evaluate(f"{caption}.left") == frame
    assert browser.evaluate(f"{caption}.right") <= width


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("selector", ["p", ".note", ".subtitle", "nav a", "h3", "td", "summary"])
def test_text_stands_out_from_the_ground(browser, path, selector, dark):
    browser.open(path, width=DESK, dark=dark)
    assert browser.evaluate(f"{CONTRAST}('{selector}')") >= 4.5
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(253, 253, 252)") is not dark
    card = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    assert browser.evaluate(card) == "rgb(255, 255, 255)"


def test_numbers_stand_under_each_other(browser, path):
    browser.open(path, width=DESK)
    right = "getComputedStyle(document.querySelector('td.number')).textAlign"
    assert browser.evaluate(right) == "right"
    figures = "getComputedStyle(document.querySelector('td.number')).fontVariantNumeric"
    assert browser.evaluate(figures) == "tabular-nums"


def test_links_lead_to_their_sections(browser, path):
    browser.open(path, width=PHONE)
    browser.evaluate("document.querySelector('nav a[href=\"#pictures\"]').click()")
    top = browser.evaluate("document.getElementById('pictures').getBoundingClientRect().top")
    bottom = browser.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 1")
    assert 0 <= top <= 20 or bottom


def test_on_paper_nothing_is_folded_away(browser, path):
    folded = """(() => {
        const details = document.querySelector('details')
        return details.offsetHeight <= details.querySelector('summary').offsetHeight + 1
    })()"""
    browser.open(path, width=DESK)
    assert browser.evaluate(folded)
    browser.send("Emulation.setEmulatedMedia", media="print")
    on_paper = browser.evaluate(folded)
    browser.send("Emulation.setEmulatedMedia", media="")
    assert not on_paper


# --- the checks above can fail

ELSEWHERE = "https://example.invalid/a.png"


def altered(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    file = path.with_name("altered.html")
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file


def without_policy(path):
    return altered(path, 'http-equiv="Content-Security-Policy"', 'name="none"')


def test_a_request_to_elsewhere_would_be_seen(browser, path):
    file = altered(without_policy(path), "<footer>", f'<footer><img src="{ELSEWHERE}">')
    assert browser.open(file, width=DESK).external == [ELSEWHERE]


@pytest.mark.parametrize(
    ("element", "blocked"),
    [
        (f'<img src="{ELSEWHERE}">', [ELSEWHERE]),
        (f'<link rel="stylesheet" href="{ELSEWHERE}">', [ELSEWHERE]),
        ("<script>document.title = 'changed'</script>", []),
    ],
)
def test_the_policy_of_the_page_forbids_what_might_get_into_it(browser, path, element, blocked):
    look = browser.open(altered(path, "<footer>", f"<footer>{element}"), width=DESK)
    assert look.blocked == blocked
    assert any("Content Security Policy" in message for message in look.console)
    assert browser.evaluate("document.title") == "What was found"


@pytest.mark.parametrize("code", ["console.error('no')", "throw Error('no')"])
def test_an_error_would_be_seen(browser, path, code):
    file = altered(without_policy(path), "<footer>", f"<footer><script>{code}</script>")
    assert browser.open(file, width=DESK).console != []


def test_an_overflow_would_be_seen(browser, path):
    browser.open(altered(path, "overflow-x: auto;", ""), width=PHONE)
    assert browser.evaluate(OVERFLOW) > 0
