"""What a command line names to be scanned: files, processes, control groups, a command."""

import os
import resource
from functools import partial

from pksm.errors import PksmError, UsageError

EXAMPLE = "for example: pksm scan --pid $$"
SPARE_DESCRIPTORS = 256
DAY_S = 86400
FILE_DESCRIPTORS = 2  # of a file that is mapped: its own and that of the mapping


class Targets:
    """openers: a function for each source, which opens it. cgroups: directories.

    fingerprints: whether some targets are such; page_size: of these, or None where none can be read. UsageError
    when there is nothing, or a thing is named twice.
    """

    def __init__(self, options):
        self.openers, self.fingerprints, self.page_size = [], False, None
        _check_after(options)
        _check_racy(options)
        _refuse_twice([(_identity(path), path) for path in options.targets])
        _refuse_twice([(pid, f"pid {pid}") for pid in options.pid])
        _make_room_for(FILE_DESCRIPTORS * len(options.targets))
        self._add_files(options.targets)
        self.cgroups = self._add_processes(options)
        if options.command is not None:
            self._add_command(options)
        if not self.openers and (options.all or options.cgroup):
            raise UsageError("there are no processes but this one")
        if not self.openers:
            raise UsageError(f"nothing to scan: name a file, a process or a command, {EXAMPLE}")

    def _add_files(self, paths):
        from pksm import sources

        for number, path in enumerate(paths):
            if _holds_fingerprints(path):
                self._add_fingerprints(path, number)
            else:
                self.openers.append(partial(sources.open_target, path))

    def _add_fingerprints(self, path, number):
        from pksm.sources import fingerprints

        self.fingerprints = True
        try:
            file = fingerprints.FingerprintFile(path, number)
        except PksmError as error:
            self.openers.append(partial(_fail, error))
        else:
            self.page_size = self.page_size or file.page_size
            self.openers += [partial(file.source, index) for index in range(len(file))]

    def _add_processes(self, options):
        from pksm import sources
        from pksm.linux.proc import processes

        pids, cgroups = dict.fromkeys(options.pid), [processes.find_cgroup(path) for path in options.cgroup]
        for cgroup in cgroups:
            pids |= dict.fromkeys(processes.cgroup_pids(cgroup))
        if options.all:
            pids |= dict.fromkeys(processes.all_pids())
        _make_room_for(FILE_DESCRIPTORS * len(options.targets) + len(pids))
        self.openers += [partial(sources.open_pid, pid, options.racy) for pid in pids]
        return cgroups

    def _add_command(self, options):
        from pksm import sources

        after = 1.0 if options.after is None else options.after
        self.openers.append(partial(sources.run_command, options.command, after, options.racy))


def _holds_fingerprints(path):
    """Look into the file; what can't be read is for its opener to complain about."""
    from pksm.sources import fingerprints
    from pksm.sources.images import files

    try:
        return fingerprints.sniff(path, files.read_head(path))
    except PksmError:
        return False


def _fail(error):
    raise error


def _check_after(options):
    if options.after is not None:
        if options.command is None:
            raise UsageError("--after: there is no command to wait for; write it last, behind --")
        if not 0 <= options.after < DAY_S:
            raise UsageError(f"--after {options.after}: give the seconds to wait, from 0, less than a day")


def _check_racy(options):
    if options.racy != "keep" and not (options.pid or options.all or options.cgroup or options.command is not None):
        raise UsageError(f"--racy {options.racy}: there is no live process that could write to its pages")


def _make_room_for(descriptors):
    """Take more descriptors if there are too few: what is scanned is open all the time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _identity(path):
    """Return what makes a file the same file under another name."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        if path.isdecimal():
            raise UsageError(f"{path}: no such file; for the process of this number write --pid {path}") from None
        return path
    return status.st_dev, status.st_ino


def _refuse_twice(named):
    seen = {}
    for identity, name in named:
        if identity in seen:
            other = seen[identity]
            raise UsageError(f"{name}: named twice" if other == name else f"{name}: the same file as {other}")
        seen[identity] = name
