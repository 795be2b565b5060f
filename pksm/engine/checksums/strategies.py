"""Checksum strategies by name, ready to use on pages of one size.

A name may carry options, each behind a colon: `sampled:words=128:order=sorted`. Plug-ins are strategies like ours once
they are registered, by register() or by an entry point of the group `pksm.checksums`.
"""

from math import comb
from typing import Any

import numpy as np

from pksm.arrays import IdsLike
from pksm.engine import native
from pksm.engine.checksums import plugins
from pksm.engine.checksums.adaptive import Adaptive
from pksm.engine.checksums.plugins import Batch, Plugin, register, unregister
from pksm.engine.native.checksums import Checksum, Function
from pksm.errors import UsageError
from pksm.naming import unknown

__all__ = [
    "ABOUT",
    "DEFAULT",
    "Plugin",
    "describe",
    "is_exact",
    "make",
    "names",
    "ready",
    "register",
    "sampled_at",
    "unregister",
    "widths",
]

DEFAULT = "xxh3-64"
SAMPLED_WORDS = 64  # PKSM looks at 64 of the 1024 words of a page
LINE_BYTES = 64
PARTIAL_BYTES = 256
_LINE_WORDS = LINE_BYTES // 4

# name -> (seed, who uses it)
ABOUT = {
    "xxh3-64": ("0", "pksm's default"),
    "aes": ("none", "pksm"),
    "xxh64": ("0", "Zstandard, btrfs"),
    "xxh64-trunc32": ("0", "KSM since 4.20"),
    "xxh32": ("0", "LZ4; KSM since 4.20 on 32-bit machines"),
    "crc32c": ("0xffffffff", "iSCSI, ext4, btrfs"),
    "crc32": ("0xffffffff", "zlib, Ethernet"),
    "jhash2": ("17", "KSM before 4.20"),
    "murmur3-32": ("0", "hash tables of many programs"),
    "superfast": ("the size", "Difference Engine"),
    "fnv1a-64": ("0xcbf29ce484222325", "small programs"),
    "adler32": ("1", "zlib"),
    "sampled": ("0xdeadbeef", "PKSM, UKSM's idea at a fixed strength"),
    "sampled-lines": ("0xdeadbeef", "nobody: as many words as sampled, in whole cache lines"),
    "partial": ("17", "CKSM: jhash2 of 256 bytes"),
    "adaptive": ("0xdeadbeef", "UKSM's idea: the strength follows what it costs"),
}
_SAMPLING: dict[str, int | str | None] = {"words": SAMPLED_WORDS, "order": "permutation", "seed": None}
# name -> {option: default}
_OPTIONS: dict[str, dict[str, int | str | None]] = {
    "sampled": _SAMPLING,
    "sampled-lines": _SAMPLING,
    "partial": {"bytes": PARTIAL_BYTES, "at": 0},
    "adaptive": {"words": SAMPLED_WORDS, "seed": None},
}
_MOST_DIGITS = 40  # of a number in a name: as many as a seed of 128 bits takes, and one more
_ORDERS = ("permutation", "sorted")


def widths() -> dict[str, int]:
    """Return {name: bits} of all strategies, the default first, plug-ins last."""
    return {**native.strategy_widths(), "adaptive": 32, **{name: one.width for name, one in plugins.known().items()}}


def names() -> list[str]:
    """Return the names of all strategies, the default first, plug-ins last."""
    return list(widths())


def make(name: str, page_size: int, seed: int = 0) -> Function | Batch:
    """Return the strategy `name` for pages of page_size bytes: a native.Function, or a plugins.Batch.

    seed: which permutation of the words those that sample look at (mirrors the random sample table that PKSM draws at
    boot), unless the name's options say. UsageError for a name or an option that is none.
    """
    base, options = _parse(name)
    check_seed(seed)
    if base in plugins.known():
        return plugins.known()[base].make()
    if base not in _OPTIONS:
        return native.Checksum(base)
    if base == "partial":
        return _part(options["bytes"], options["at"], page_size)
    n_words = page_size // 4
    random = np.random.Generator(np.random.PCG64(seed if options["seed"] is None else options["seed"]))
    if base == "adaptive":
        return Adaptive(random.permutation(n_words), min(options["words"], n_words))
    run = min(_LINE_WORDS, n_words) if base == "sampled-lines" else 1
    words = random.permutation(n_words // run)[: max(1, min(options["words"], n_words) // run)] * run
    return native.Checksum(base, np.sort(words) if options["order"] == "sorted" else words, run)


def ready(given: object, name: str, page_size: int, seed: int = 0) -> tuple[Any, tuple[str, int] | None]:
    """Return the checksum that somebody gave to an engine, and (name, seed) if it was made of these.

    Args:
        given: a checksum that is ready; the name of a strategy; a function, as Plugin takes them; or None.
        name: the strategy that None stands for.
        page_size, seed: as make takes them.
    """
    if given is None or isinstance(given, str):
        chosen = name if given is None else given
        return make(chosen, page_size, seed), (chosen, seed)
    if isinstance(given, Function) or hasattr(given, "fill"):
        return given, None
    label = getattr(given, "__name__", type(given).__name__)
    return (given if isinstance(given, Plugin) else Plugin(given, name=label)).make(), None


def check_seed(seed: int) -> None:
    """Raise UsageError unless a generator can start from this seed."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"seed {seed!r}: must be a whole number from 0")


def sampled_at(words: IdsLike) -> Checksum:
    """Return the strategy `sampled` looking at these word positions, in this order."""
    return native.Checksum("sampled", words)


def is_exact(name: str) -> bool:
    """Return True if equal sums of this strategy mean equal pages in practice: it sums all words, to 64 bits."""
    base, _ = _parse(name)
    return base not in _OPTIONS and base not in plugins.known() and widths()[base] == 64


def describe(name: str, page_size: int) -> dict[str, Any]:
    """Return what there is to know of a strategy, a dict ready for json.

    name, width (bits), bytes (read of a page), lines (cache lines touched, the number expected over all seeds), seed,
    users. None where a plug-in does not say.
    """
    base, options = _parse(name)
    if base in plugins.known():
        one = plugins.known()[base]
        return {"name": name, "width": one.width, "bytes": None, "lines": None, "seed": None, "users": one.about}
    bytes_read, lines = _looks_at(base, options, page_size)
    seed, users = ABOUT[base]
    return {"name": name, "width": widths()[base], "bytes": bytes_read, "lines": lines, "seed": seed, "users": users}


def _looks_at(base: str, options: dict[str, Any], page_size: int) -> tuple[int, float]:
    """Bytes read of a page and cache lines touched, the number that is expected."""
    if base not in _OPTIONS:
        return page_size, max(1, page_size // LINE_BYTES)
    n_words = page_size // 4
    if base == "partial":
        part = _part(options["bytes"], options["at"], page_size)
        first = options["at"]
        return part.run * 4, (first + part.run * 4 - 1) // LINE_BYTES - first // LINE_BYTES + 1
    looked_at, in_line = min(options["words"], n_words), min(_LINE_WORDS, n_words)
    if base == "sampled-lines":
        runs = max(1, looked_at // in_line)
        return runs * in_line * 4, runs
    # a line is left out when all words that are looked at lie in the others
    left_out = comb(n_words - in_line, looked_at) / comb(n_words, looked_at)
    return looked_at * 4, round(n_words // in_line * (1 - left_out), 1)


def _part(n_bytes: int, at: int, page_size: int) -> Checksum:
    if n_bytes % 4 or at % 4 or n_bytes < 4 or at + min(n_bytes, page_size) > page_size:
        raise UsageError(f"partial:bytes={n_bytes}:at={at}: whole words within a page of {page_size} bytes, please")
    return native.Checksum("partial", [at // 4], min(n_bytes, page_size) // 4)


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    """Return (name, options) of a name with options. UsageError if there is no such thing."""
    name, *given = str(text).split(":")
    if name not in widths():
        raise unknown("unknown checksum", name, names())
    options: dict[str, Any] = dict(_OPTIONS.get(name, {}))
    for part in given:
        option, _, value = part.partition("=")
        if option not in options:
            known = f"choose from {', '.join(options)}" if options else f"{name} has none"
            raise UsageError(f"checksum {text}: unknown option {option!r}: {known}")
        options[option] = _value(text, option, value)
    return name, options


def _value(text: str, option: str, value: str) -> int | str:
    if option == "order":
        if value not in _ORDERS:
            raise UsageError(f"checksum {text}: order is one of {', '.join(_ORDERS)}")
        return value
    if not value.isdecimal() or (option == "words" and not value.strip("0")):
        raise UsageError(f"checksum {text}: {option} is a whole number")
    if len(value) > _MOST_DIGITS:
        name = text.partition(":")[0]
        raise UsageError(f"checksum {name}: {option} has {len(value)} digits, and may have {_MOST_DIGITS}")
    return int(value)
