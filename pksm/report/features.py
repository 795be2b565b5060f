"""How the facts of this build and this machine look: pure functions of the document `pksm.features/1`."""

from pksm.documents import FeaturesDocument
from pksm.documents.features import SandboxAbilities
from pksm.report.text import columns, csv_text


def table(facts: FeaturesDocument, width: int = 80, colour: bool = False) -> str:
    """Return the facts for people."""
    return "\n".join([f"pksm {facts['version']}", *columns(_rows(facts))]) + "\n"


def csv(facts: FeaturesDocument) -> str:
    """Return the facts as CSV, a row each."""
    rows = [("version", facts["version"]), *_rows(facts)]
    return csv_text([{"feature": name, "value": value} for name, value in rows])


def _rows(facts: FeaturesDocument) -> list[tuple[str, str]]:
    machine = facts["machine"]
    return [
        ("checksums", ", ".join(_checksum(facts, name, bits) for name, bits in facts["checksums"].items())),
        ("orders", ", ".join(facts["orders"])),
        ("policies", ", ".join(facts["policies"])),
        ("sources", ", ".join(facts["sources"])),
        ("processor", f"{machine['cpus']} CPUs; instruction sets in use up to {facts['cpu_levels'][-1]}"),
        ("frame numbers", _choice(machine["frame_numbers"], "visible", "hidden from this user: that takes root")),
        ("PAGEMAP_SCAN", _choice(machine["pagemap_scan"], "there", "not there (Linux 6.7): slower on sparse memory")),
        ("process_vm_readv", _choice(machine["process_vm_readv"], "there", "not there: /proc/PID/mem is used, slower")),
        ("reported writes", _choice(machine["write_tracking"], "work", "refused here: records compare contents")),
        ("soft-dirty bits", _choice(machine["soft_dirty"], "pass the test", "fail their test: no writes by them")),
        ("injected calls", _choice(machine["injection"], "work", "refused here: no opt-in of processes that run")),
        ("whose memory", _PTRACE_SCOPES.get(machine["ptrace_scope"], _PTRACE_SCOPES[3])),
        ("huge pages", machine["huge_pages"] or "not there"),
        ("kernel's own KSM", _choice(machine["kernel_ksm"], "there", "not there")),
        ("files are parsed", _sandbox(facts["sandbox"])),
    ]


def _sandbox(sandbox: SandboxAbilities) -> str:
    if not sandbox["on"]:
        return "in this process: PKSM_SANDBOX=off"
    abi = sandbox["landlock"]
    parts = {
        "no_new_privs": sandbox["no_new_privs"],
        "no capabilities": sandbox["no_capabilities"],
        f"Landlock (ABI {abi})" if abi else "Landlock": abi is not None,
        "seccomp": sandbox["seccomp"],
    }
    held, lacking = (", ".join(name for name, holds in parts.items() if holds is wanted) for wanted in (True, False))
    return f"in a process with {held or 'nothing given up'}" + (f"; not here: {lacking}" if lacking else "")


_PTRACE_SCOPES: dict[int | None, str] = {
    None: "processes of the same user; all as root",
    0: "processes of the same user; all as root",
    1: "children, such as pksm scan -- COMMAND; all as root",
    2: "all as root, none otherwise",
    3: "none: kernel.yama.ptrace_scope forbids it",
}


def _checksum(facts: FeaturesDocument, name: str, bits: int) -> str:
    return f"{name} ({bits} bits{', default' if name == facts['default_checksum'] else ''})"


def _choice(is_so: bool, yes: str, no: str) -> str:
    return yes if is_so else no
