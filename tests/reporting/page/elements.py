"""Reading HTML and the style sheet, as tests need it."""

import re
from html.parser import HTMLParser

#: Elements that have no end tag.
VOID = {"meta", "link", "img", "input", "col", "br", "hr"}


class Elements(HTMLParser):
    """The elements of a page in their order: (tag, attributes, its text, tags it lies in)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], list[str], tuple[str, ...]]] = []
        self.open: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        inside = tuple(self.found[number][0] for number in self.open)
        self.found.append((tag, {name: value or "" for name, value in attributes}, [], inside))
        if tag not in VOID:
            self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.found[self.open.pop()][0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for number in self.open:
            self.found[number][2].append(data)

    def of(self, *tags: str) -> list[tuple[dict[str, str], str]]:
        """(attributes, text) of all elements of some tags."""
        return [(a, "".join(text)) for tag, a, text, _ in self.found if tag in tags]


def colours(css: str) -> dict[str, tuple[str, str]]:
    """The custom properties that are colours: (light, dark)."""
    colour = r"(#[0-9a-f]{6})"
    pairs = re.findall(rf"--([\w-]+): light-dark\({colour}, {colour}\)", css)
    single = re.findall(rf"--([\w-]+): {colour};", css)
    return {name: (a, b) for name, a, b in pairs} | {name: (a, a) for name, a in single}


def contrast(a: str, b: str) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
