"""The documents of what there is: pksm.features/1 of this build and machine, pksm.names/1 of what a verb takes."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count


class MachineAbilities(TypedDict):
    """What this machine lets this user do."""

    cpus: Annotated[Count, "CPUs that this process may use"]
    page_size: Annotated[Bytes, "the machine's"]
    huge_pages: Annotated[str | None, "", "transparent huge pages: always, madvise or never; null: the kernel has none"]
    frame_numbers: Annotated[bool, "", "whether /proc/PID/pagemap shows them to this user"]
    pagemap_scan: Annotated[bool, "", "whether the kernel has PAGEMAP_SCAN (Linux 6.7)"]
    process_vm_readv: Annotated[bool, "", "whether this user may call it"]
    ptrace_scope: Annotated[int | None, "", "kernel.yama.ptrace_scope; null: no Yama"]
    write_tracking: Annotated[
        bool, "", "whether the kernel reported what a child of ours wrote, as a recording of writes takes it"
    ]
    soft_dirty: Annotated[
        bool, "", "whether soft-dirty bits passed a test: they showed what a child of ours wrote, and nothing else"
    ]
    injection: Annotated[bool, "", "whether a child was made to make a system call by ptrace, as pksm opt-in does it"]
    kernel_ksm: Annotated[bool, "", "whether the kernel has KSM"]


class SandboxAbilities(TypedDict):
    """What holds for the process that parses files, for having tried it."""

    on: Annotated[bool, "", "whether files are parsed in such a process: not if PKSM_SANDBOX=off"]
    no_new_privs: Annotated[bool, "", "whether no program it could start gets more privileges"]
    no_capabilities: Annotated[bool, "", "whether it has given up all capabilities"]
    landlock: Annotated[int | None, "", "version of Landlock's ABI; null: the kernel has none"]
    seccomp: Annotated[bool, "", "whether it makes only the system calls of a list"]


class Named(TypedDict):
    """A name that a verb takes."""

    kind: Annotated[str, "", "such as workload or policy"]
    name: Annotated[str, "", "as the verb takes it"]
    about: Annotated[str, "", "a sentence"]


class NamesDocument(TypedDict):
    """The names that a verb takes: what --list prints."""

    schema: Literal["pksm.names/1"]
    names: list[Named]


class FeaturesDocument(TypedDict):
    """What this build and this machine can do."""

    schema: Literal["pksm.features/1"]
    version: Annotated[str, "", "of pksm"]
    cpu_levels: Annotated[list[str], "", "instruction sets, the widest last"]
    checksums: Annotated[dict[str, int], "bits", "strategies by name"]
    default_checksum: Annotated[str, "", "the strategy that is used unless one is named"]
    orders: Annotated[list[str], "", "what trees can be ordered by"]
    policies: Annotated[
        dict[str, str], "", "NAME:PRESET, or NAME of a policy with one preset, with a sentence about each"
    ]
    sources: Annotated[dict[str, str], "", "readers by name, with a sentence about each"]
    machine: MachineAbilities
    sandbox: SandboxAbilities
