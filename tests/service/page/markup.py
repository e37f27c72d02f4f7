"""Test support: what a page's HTML is made of, and lines that try to be more than text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

BIDI = "\u202egpj.exe"
HOSTILE = f"\x1b[31mred <script>window.owned = 1</script> \"><img src=x onerror='window.owned = 1'> {BIDI} {'A' * 1500}"
NATURAL = "240502 10{:02d}{:02d} 21 INFO store.Names: "


def line(message: str, second: int = 0) -> str:
    """A line of source ``blocks``."""
    return NATURAL.format(second // 60, second % 60) + message


def quarantined(block: int) -> str:
    """A line that training never saw, of a session of its own."""
    return line(f"quarantine of blk_{block} ordered by operator al")


@dataclass
class Element:
    """One start tag, and the text inside it."""

    tag: str
    attributes: dict[str, str | None]
    within: list["Element"] = field(default_factory=list)
    text: str = ""


class Document(HTMLParser):
    """Elements of a page in order, each with those that it lies in."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), list(self._open))
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        """Elements with one of ``tags``."""
        return [element for element in self.elements if element.tag in tags]

    @property
    def text(self) -> str:
        """All that can be read."""
        return self.all("body")[0].text if self.all("body") else ""
