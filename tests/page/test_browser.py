"""The page in a real browser: it can be read, asks for nothing and fits the screen."""

import pytest

import chromium
from morsescape.page.engine import save_page
from sample_page import sample_page

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")

PHONE, DESK = 390, 1280
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOLDED = """(() => {
    const details = document.querySelector('details')
    return details.offsetHeight <= details.querySelector('summary').offsetHeight + 1
})()"""
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
    assert browser.evaluate("document.images.length") == 0
    assert browser.evaluate("document.querySelectorAll('svg').length") == 9


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("unfold", [False, True])
def test_no_picture_leaves_the_screen_and_no_type_is_small(browser, path, width, unfold):
    browser.open(path, width=width)
    if unfold:
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate(OVERFLOW) == 0
    sizes, outside = browser.evaluate(
        """(() => {
            const seen = [...document.querySelectorAll('svg')].filter(s => s.checkVisibility())
            const sizes = seen.flatMap(s => [...s.querySelectorAll('text')].map(t =>
                parseFloat(getComputedStyle(t).fontSize) * s.getScreenCTM().a))
            const outside = seen.filter(s => s.getBoundingClientRect().right > innerWidth)
            return [sizes, outside.length]
        })()"""
    )
    assert outside == 0
    assert min(sizes) >= 9
    assert browser.evaluate(FOLDED) is not unfold


def test_marks_are_read_under_the_pointer_and_with_the_keys(browser, path):
    browser.open(path, width=DESK)
    first = "document.querySelector('svg')"
    line = f"{first}.closest('figure').querySelector('.reads').textContent"
    caption = browser.evaluate(line)
    said = []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home"):
        browser.evaluate(f"{first}.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))")
        said.append(browser.evaluate(line))
    assert said == ["first", "second <b>", "third", "first", "third", "first"]
    browser.evaluate(f"{first}.dispatchEvent(new Event('blur'))")
    assert browser.evaluate(line) == caption
    over = "dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    browser.evaluate(f"{first}.querySelectorAll('.mark')[1].{over}")
    assert browser.evaluate(line) == "second <b>"
    assert browser.evaluate(f"{first}.tabIndex") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_follow_light_and_dark(browser, path, dark):
    browser.open(path, width=DESK, dark=dark)
    ink = browser.evaluate("getComputedStyle(document.body).color")
    text = "document.querySelector('svg text')"
    assert browser.evaluate(f"getComputedStyle({text}).fill") == ink
    assert (ink == "rgb(227, 230, 233)") is dark


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_wide_table_moves_in_its_frame_under_the_names_of_its_rows(browser, path, width):
    browser.open(path, width=width)
    before, after, frame, moved = browser.evaluate(
        """(() => {
            document.querySelectorAll('details').forEach(d => d.open = true)
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
@pytest.mark.parametrize(
    "selector", ["p", ".note", ".subtitle", "nav a", "figcaption", "td", "summary"]
)
def test_text_stands_out_from_the_ground(browser, path, selector, dark):
    browser.open(path, width=DESK, dark=dark)
    assert browser.evaluate(f"{CONTRAST}('{selector}')") >= 4.5
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(253, 253, 252)") is not dark


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
    browser.open(path, width=DESK)
    assert browser.evaluate(FOLDED)
    browser.send("Emulation.setEmulatedMedia", media="print")
    on_paper = browser.evaluate(FOLDED)
    captions = browser.evaluate(
        "[...document.querySelectorAll('figcaption')].every(c => c.offsetHeight > 0)"
    )
    browser.send("Emulation.setEmulatedMedia", media="")
    assert not on_paper
    assert captions


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
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate(OVERFLOW) > 0
