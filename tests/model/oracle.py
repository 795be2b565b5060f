"""Brute force: what merging must come to, from nothing but the bytes of all pages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    zero_pages: int
    distinct: int  # contents, the zero content included when present
    groups: tuple  # of page-number tuples: pages of one non-zero content that occurs more than once

    @property
    def pages_shared(self):
        """Frames that are kept for more than one page."""
        return len(self.groups)

    @property
    def pages_sharing(self):
        """Pages that give their frame back for one of those."""
        return sum(len(group) - 1 for group in self.groups)


def answer(pages):
    """Say which pages must end up shared. pages: page number -> bytes, or a list of bytes."""
    pages = pages if isinstance(pages, dict) else dict(enumerate(pages))
    by_content = {}
    for number, content in pages.items():
        by_content.setdefault(bytes(content), []).append(number)
    zero = [content for content in by_content if not any(content)]
    return Answer(
        zero_pages=sum(len(by_content[content]) for content in zero),
        distinct=len(by_content),
        groups=tuple(
            tuple(numbers) for content, numbers in by_content.items() if content not in zero and len(numbers) > 1
        ),
    )
