"""Files that make it so: for /sys, systemd-tmpfiles, systemd services, libvirt and QEMU."""

from collections.abc import Callable, Iterable

from pksm.documents import AdviseDocument
from pksm.documents.advise import Advised
from pksm.errors import UsageError
from pksm.linux.ksm.files import DIRECTORY
from pksm.plain import plain

# Before pages_to_scan, the advisor must be off; what can't change while pages are shared comes first, and run last.
ORDER = (
    "max_page_sharing",
    "merge_across_nodes",
    "use_zero_pages",
    "smart_scan",
    "advisor_mode",
    "pages_to_scan",
    "sleep_millisecs",
)
_YOUNG = frozenset({"smart_scan", "advisor_mode"})  # there since Linux 6.7 and 6.8
PRCTL = "prctl(67 /* PR_SET_MEMORY_MERGE */, 1, 0, 0, 0)"
LAUNCHER = (
    "python3 -c 'import ctypes, os, sys; "
    'ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) and sys.exit("PR_SET_MEMORY_MERGE refused"); '
    "os.execvp(sys.argv[1], sys.argv[1:])' COMMAND..."
)


def file_for(document: AdviseDocument, form: str) -> str:
    """Return the file that does what was advised, with comments that say where it goes.

    Args:
        document: the advice.
        form: one of FORMS.

    Raises:
        UsageError: there is no such form, or nothing was advised.
    """
    if form not in FORMS:
        raise UsageError(f"unknown form {form!r}: choose from {', '.join(FORMS)}", "form")
    if document["verdict"]["kind"] == "not worth it":
        raise UsageError(f"there is nothing to set: {document['verdict']['sentence']}")
    return FORMS[form](document)


def _in_order(settings: Iterable[Advised]) -> list[Advised]:
    """Return settings in the order in which they can be written."""
    places = {name: place for place, name in enumerate(ORDER)}
    last = len(ORDER)
    return sorted(settings, key=lambda one: last + 1 if one["name"] == "run" else places.get(one["name"], last))


def _path(setting: Advised) -> str:
    return setting["name"] if "/" in setting["name"] else f"{DIRECTORY}/{setting['name']}"


def _head(document: AdviseDocument, mark: str = "#") -> list[str]:
    return [f"{mark} {document['verdict']['sentence']}"]


def _sysfs(document: AdviseDocument) -> str:
    lines = ["#!/bin/sh", *_head(document), "# Run as root; it lasts until the next boot.", "set -e"]
    for setting in _in_order(document["settings"]):
        there = f"[ ! -e {_path(setting)} ] || " if setting["name"] in _YOUNG else ""
        lines += [f"# {setting['reason']}", f"{there}echo {setting['value']} > {_path(setting)}"]
    return _text([
        *lines,
        "",
        "# KSM merges only what has opted in. QEMU does that by itself (mem-merge=on); a service with MemoryKSM=yes;",
        f"# any other program calls {PRCTL}:",
        "# all five arguments, Linux 6.4 and later. Or start it by:",
        f"# {LAUNCHER}",
        f"# To undo: echo 2 > {DIRECTORY}/run (unmerges all at once: see that MemAvailable is enough first)",
    ])  # fmt: skip


def _tmpfiles(document: AdviseDocument) -> str:
    lines = ["# /etc/tmpfiles.d/ksm.conf: written at every boot by systemd-tmpfiles"]
    lines += _head(document)
    for setting in _in_order(document["settings"]):
        lines += [f"# {setting['reason']}", f"w {_path(setting)} - - - - {setting['value']}"]
    return _text(lines)


def _systemd(document: AdviseDocument) -> str:
    return _text([
        "# /etc/systemd/system/NAME.service.d/ksm.conf, for each service that shall opt in; then: systemctl daemon-reload",
        *_head(document),
        *[f"# {plain(name)}" for name in document["verdict"]["names"]],
        "# Needs systemd 254 and Linux 6.4. Before systemd 256 it called prctl with too few arguments, and the service",
        "# failed with EXIT_KSM, unless your distribution has the fix of March 2024: start it once and look at",
        "# grep ksm_merge_any /proc/PID/ksm_stat, which must say yes. Its children inherit it.",
        "# KSM itself is set in /etc/tmpfiles.d/ksm.conf.",
        "[Service]",
        "MemoryKSM=yes",
    ])  # fmt: skip


def _libvirt(document: AdviseDocument) -> str:
    return _text([
        "<!-- In the domain, by virsh edit GUEST; it takes effect when the guest is started anew. -->",
        f"<!-- {document['verdict']['sentence']} -->",
        "<!-- Take out <nosharepages/>, <hugepages/>, <source type='memfd'/> or 'file' and <access mode='shared'/>:",
        "     with any of them KSM merges nothing of the guest. virtiofs and vhost-user need shared memory: a guest with",
        "     these can't be merged. -->",
        "<memoryBacking>",
        "  <source type='anonymous'/>",
        "  <access mode='private'/>",
        "</memoryBacking>",
    ])  # fmt: skip


def _qemu(document: AdviseDocument) -> str:
    return _text([
        *_head(document),
        "# A configuration for -readconfig: KSM may merge the guest's memory. It is what QEMU does by default, unless the",
        "# guest's memory is shared (share=on), a file or a memfd, or lies in huge pages of hugetlbfs.",
        "# Write the size that -m has, and the machine type that you use.",
        "[machine]",
        '  mem-merge = "on"',
        '  memory-backend = "ram0"',
        "",
        '[object "ram0"]',
        '  qom-type = "memory-backend-ram"',
        '  size = "4G"',
        '  merge = "on"',
        '  share = "off"',
    ])  # fmt: skip


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


FORMS: dict[str, Callable[[AdviseDocument], str]] = {
    "sysfs": _sysfs,
    "tmpfiles": _tmpfiles,
    "systemd": _systemd,
    "libvirt": _libvirt,
    "qemu": _qemu,
}
