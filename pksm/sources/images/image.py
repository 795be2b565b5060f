"""What all readers of image files have in common: the open file, its bytes, and the lines said about it."""

from abc import abstractmethod
from collections.abc import Iterator

from pksm.errors import PksmError
from pksm.sources import base
from pksm.sources.base import Allocate, Progress, Region, Source
from pksm.sources.files import OpenFile


class Image(Source):
    """An open image file. Subclasses set `kind`, learn what it holds in _open(), and yield it from _regions().

    `remarks` are warnings that hold however the file is read; read_at() is how headers are read: the file may shrink.
    """

    file: OpenFile

    def __init__(self, file: OpenFile) -> None:
        super().__init__(file.path, file)
        self.remarks: list[str] = []
        self._open()

    @property
    def size(self) -> int:
        """Bytes of the file, when it was opened."""
        return self.file.size

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield what the file holds. Raises UsageError for the page size, PksmError for a file that is damaged."""
        base.check_page_size(page_size)
        self.lost, self.warnings = 0, list(self.remarks)
        empty = True
        for region in self._regions(page_size, allocate, progress):
            empty = False
            yield region
        if empty:
            raise PksmError(f"{self.name}: holds no whole page of {page_size} bytes")

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end of the file."""
        return self.file.read_at(offset, size)

    def damaged(self, what: str) -> PksmError:
        """Make the error for content that can't be right."""
        return PksmError(f"{self.name}: {what}: the file is damaged; copy it again from where it was made")

    def say_cut_off(self, pages: int) -> None:
        """Count `pages` that the headers promise and the file does not hold."""
        if pages:
            self.lost += pages
            self.warnings.append(
                f"{self.name}: the file is cut off: {pages} pages that its headers announce are not in it"
            )

    def cut_off_in_header(self) -> str:
        """Note that memory is missing, nobody knows how much, and return the line about it."""
        self.partial = True
        return f"{self.name}: the file ends in a header that is cut off; what follows it is not known"

    @abstractmethod
    def _open(self) -> None:
        """Read and check the headers."""

    @abstractmethod
    def _regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the regions, as Source.regions does."""
