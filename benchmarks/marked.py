"""The part of a page that a script writes."""

from pathlib import Path

from morsescape.store import write_bytes_atomic


def rewrite(page: Path, mark: str, text: str) -> None:
    """Put `text` between `<!-- mark -->` and `<!-- end of mark -->`, whatever stood there."""
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, found, rest = page.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page}: expected {start} and {end}; got none; cure: put them back")
    write_bytes_atomic(page, f"{before}{start}{text}{end}{after}".encode())
