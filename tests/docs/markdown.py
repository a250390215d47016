"""Reads what is checked out of a Markdown file: code blocks, links, headings, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]\n]*\]\(<?([^)>\s]+)>?\)")
_SOURCE = re.compile(r'\b(?:src|srcset|href)="([^"]+)"')
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code: its language and its lines."""

    language: str
    text: str


def blocks(markdown: str, *languages: str) -> list[Block]:
    """The fenced blocks in these languages, in the order of the page."""
    found = (Block(match[1], match[2]) for match in _FENCE.finditer(markdown))
    return [block for block in found if block.language in languages]


def prose(markdown: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", markdown)


def links(markdown: str) -> list[str]:
    """The targets of all links and images, those in HTML too."""
    text = _CODE.sub("", _COMMENT.sub("", prose(markdown)))
    return [*_LINK.findall(text), *_SOURCE.findall(text)]


def anchors(markdown: str) -> set[str]:
    """The fragments that GitHub gives to the headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in _HEADING.findall(prose(markdown))
    }


def section(markdown: str, heading: str) -> str:
    """The text between a heading and the next one of its rank or above."""
    lines = markdown.splitlines(keepends=True)
    start = lines.index(f"{heading}\n")
    rank = len(heading) - len(heading.lstrip("#"))
    taken = []
    for line in lines[start + 1 :]:
        match = re.match(r"(#+) ", line)
        if match and len(match[1]) <= rank:
            break
        taken.append(line)
    return "".join(taken)


def rows(markdown: str) -> Iterator[list[str]]:
    """The cells of every table row, without heads."""
    lines = prose(markdown).splitlines()
    for index, line in enumerate(lines):
        is_head = index + 1 < len(lines) and re.fullmatch(r"\|[-:| ]+\|", lines[index + 1])
        if line.startswith("|") and not is_head and not re.fullmatch(r"\|[-:| ]+\|", line):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
