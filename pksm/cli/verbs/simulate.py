"""pksm simulate: a workload in virtual time, and what pksmd makes of its memory."""

from pksm.cli import exit_codes, output
from pksm.errors import UsageError
from pksm.policies.pksmd import tunables
from pksm.simulation.workloads import WORKLOADS

HELP = "play a workload on a simulated machine and see what merging does, in virtual time"
USAGE = "pksm simulate [OPTION...] WORKLOAD|TRACE|SCRIPT.py"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

workloads:
{chr(10).join(f"  {name:<11}  {text}" for name, text in WORKLOADS.items())}

examples:
  pksm simulate b --pages 2000 --preset android-3.4   half unique pages, half pairs, as a kernel merges them
  pksm simulate trace.jsonl --set sleep_millisecs=50  what lines of JSON say, one operation each
  pksm simulate script.py --json                      def workload(machine, sim) of a Python file
  pksm simulate fork-family --policy ksmd:ksm-6.11,pksmd:fixed    KSM and PKSM, side by side"""
DEFAULT_PAGES, DEFAULT_SAMPLE_MS = 65536, 100


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    what.add_argument("workload", metavar="WORKLOAD|TRACE|SCRIPT.py",
                      help="a workload by name (see above), a trace of JSON lines, or a Python file")  # fmt: skip
    what.add_argument("--pages", type=int, default=DEFAULT_PAGES, metavar="N",
                      help="pages of a workload by name (default %(default)s)")  # fmt: skip
    what.add_argument("--seed", type=int, default=0, metavar="N", help="of what is random in it (default 0)")
    what.add_argument("--frames", type=int, metavar="N",
                      help="frames of the machine (default 131072, or what the workload needs)")  # fmt: skip
    what.add_argument("--until", type=int, metavar="MS",
                      help="virtual milliseconds to go to, no more and no less "
                      "(default: to the workload's end)")  # fmt: skip
    how = parser.add_argument_group("how to merge", _policies())
    how.add_argument("--preset", metavar="NAME",
                     help=f"settings of pksmd to start from: {', '.join(tunables.PRESETS)} "
                     "(default fixed)")  # fmt: skip
    how.add_argument("--policy", metavar="NAME[:PRESET],...",
                     help="policies that get the same memory, side by side (see above; default pksmd)")  # fmt: skip
    how.add_argument("--set", action="append", default=[], metavar="[POLICY.]NAME=VALUE",
                     help=f"a setting: {', '.join(tunables.SETTINGS)}; ksmd's are those of /sys/kernel/mm/ksm; without "
                     "POLICY, of all policies that have it; may be repeated")  # fmt: skip
    out = parser.add_argument_group("what to print")
    out.add_argument("--sample", type=int, default=DEFAULT_SAMPLE_MS, metavar="MS",
                     help="virtual milliseconds between two samples of all counters (default %(default)s)")  # fmt: skip
    form = out.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.simulate/1)")
    form.add_argument("--csv", action="store_true", help="a line for each sample and each reading")


def _policies():
    """Return a line for each policy: its name, what it is, and its presets."""
    from pksm.policies import registry

    lines = []
    for name in registry.names():
        spec = registry.spec(name)
        lines.append(f"  {name:<11}  {spec.about}")
        if len(spec.presets) > 1:
            lines.append(f"  {'':<11}  presets: {', '.join(spec.presets)} (default {spec.default})")
    return "policies:\n" + "\n".join(lines)


def run(options, interrupts):
    """Simulate and print; return the exit code."""
    from pksm.policies.registry import choose
    from pksm.simulation.run import Settings, simulate

    if options.policy and options.preset:
        raise UsageError("--policy names presets itself: leave --preset out")
    choices = choose(options.policy or f"pksmd:{options.preset or 'fixed'}", options.set, options.seed)
    settings = Settings(
        workload=options.workload,
        pages=options.pages,
        frames=options.frames,
        seed=options.seed,
        until_ms=options.until,
        sample_ms=options.sample,
    )
    progress = output.Progress()

    def show(policy, now, wakes):
        progress.show(lambda: f"{policy}: {now / 1000:,.1f} s of virtual time, {wakes:,} wake-ups")

    document = simulate(settings, choices, show, interrupts.hold)
    output.document(document, options)
    return exit_codes.of(document)
