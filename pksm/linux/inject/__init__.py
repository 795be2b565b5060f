"""System calls that other processes make for us, by ptrace: what madvise and prctl say of oneself alone."""

from pksm.linux.inject.session import Call as Call
from pksm.linux.inject.session import Done as Done
from pksm.linux.inject.session import inject as inject
