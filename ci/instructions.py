"""Count the instructions of the C kernels, and of whole commands, under callgrind; compare with those accepted before.

`python ci/instructions.py` fails when a count of a kernel differs by more than 2 %, or that of a command, most of which
is Python, by more than 10 %; `--accept` stores the counts as they are now. Counts of kernels belong to one compiler,
those of commands to one interpreter too. Without valgrind, or where nobody has counted yet, nothing is checked, and the
reason is said. CC names the compiler.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "ci" / "instructions.json"
ACCEPT = "python ci/instructions.py --accept"
TOLERANCE, COMMANDS_TOLERANCE = 0.02, 0.1
LEVELS = {"scalar": 0, "avx2": 2}  # enum pksm_cpu; callgrind knows no AVX-512
FLAGS = ["-std=c11", "-O3", "-fvisibility=hidden"]  # as the extension is compiled
FLAGS += ["-fno-stack-protector", "-fcf-protection=none", "-U_FORTIFY_SOURCE"]  # what distributions differ in
UNAVAILABLE = 77
COMMANDS = {
    "scan": ["scan", "--threads", "1", "image.raw"],
    "simulate": ["simulate", "f", "--pages", "512", "--policy", "pksmd:fixed"],
}
IMAGE_PAGES = 256


class Skipped(Exception):
    """Why nothing can be counted here."""


def run(command, **how):
    """Run a command in silence and return what it printed; SystemExit with its message if it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **how)
    if done.returncode == UNAVAILABLE:
        raise Skipped("this machine, or valgrind on it, has no such level")
    if done.returncode:
        raise SystemExit(f"instructions: {command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def compiler_name(cc):
    """Return what decides about the code it makes, such as `gcc 12.2.0 x86_64`."""
    macros = dict(re.findall(r"^#define (\w+) (.*)$", run([cc, "-dM", "-E", "-x", "c", os.devnull]), re.M))
    kind = "clang" if "__clang__" in macros else "gcc"
    parts = ("__clang_major__", "__clang_minor__", "__clang_patchlevel__") if kind == "clang" else (
        "__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__")  # fmt: skip
    machine = "x86_64" if "__x86_64__" in macros else "another machine"
    return f"{kind} {'.'.join(macros[part] for part in parts)} {machine}"


def count(cc, scratch):
    """Build the driver and return {level: {kernel: instructions}} and {level: why it was left out}."""
    driver = scratch / "driver"
    run([cc, *FLAGS, f"-I{ROOT / 'csrc' / 'include'}", *sorted((ROOT / "csrc").rglob("*.c")),
         ROOT / "ci" / "instructions.c", "-o", driver])  # fmt: skip
    counts, skipped = {}, {}
    for name, level in LEVELS.items():
        out = scratch / name
        try:
            kernels = run(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}",
                           "--toggle-collect=measured", "--dump-after=measured", driver, level])  # fmt: skip
        except Skipped as reason:
            skipped[name] = str(reason)
            continue
        counts[name] = {
            kernel: int(re.search(r"^totals: (\d+)$", Path(f"{out}.{part}").read_text(encoding="utf-8"), re.M)[1])
            for part, kernel in enumerate(kernels.splitlines(), start=1)
        }
    return counts, skipped


def interpreter_name(compiler):
    """Return what decides about the instructions of a command, as far as it has a name."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "cffi")]
    python = f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"
    return ", ".join([python, *versions, compiler])


def count_commands(scratch):
    """Run the commands and return {"commands": {command: instructions}}. The same image, level and hashes each time."""
    pages = (bytes([page % 97]) * 4000 + bytes(96) for page in range(IMAGE_PAGES))
    (scratch / "image.raw").write_bytes(b"".join(pages))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env = {**kept, "PYTHONHASHSEED": "0", "PKSM_CPU": "avx2", "PKSM_SANDBOX": "off"}
    counts = {}
    for name, arguments in COMMANDS.items():
        out, command = scratch / f"{name}.out", [sys.executable, "-m", "pksm", *arguments]
        run(command, cwd=scratch, env=env)  # compiles modules, if need be
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        run([*valgrind, *command], cwd=scratch, env=env)
        counts[name] = int(re.search(r"^totals: (\d+)$", out.read_text(encoding="utf-8"), re.M)[1])
    return {"commands": counts}


def differences(accepted, counted):
    """Return a line for each kernel or command whose count is not within the tolerance of the accepted one."""
    lines = []
    for level, kernels in counted.items():
        tolerance = COMMANDS_TOLERANCE if level == "commands" else TOLERANCE
        known = accepted.get(level, {})
        for kernel in dict.fromkeys([*known, *kernels]):
            before, now = known.get(kernel), kernels.get(kernel)
            if before is None or now is None:
                lines.append(f"{level}: {kernel}: {'not accepted yet' if before is None else 'not there any more'}")
            elif abs(now - before) > tolerance * before:
                lines.append(f"{level}: {kernel}: {before:,} accepted, {now:,} now, {100 * (now / before - 1):+.1f} %")
    return lines


def main(argv):
    parser = argparse.ArgumentParser(prog="python ci/instructions.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--accept", action="store_true", help="store the counts as they are now")
    options = parser.parse_args(argv)
    cc = os.environ.get("CC") or "gcc"
    try:
        for tool in ("valgrind", cc):
            if not shutil.which(tool):
                raise Skipped(f"{tool} not found")
        compiler = compiler_name(cc)
        everything = json.loads(ACCEPTED.read_text(encoding="utf-8")) if ACCEPTED.exists() else {}
        if compiler not in everything and not options.accept:
            raise Skipped(f"nobody has counted with {compiler} yet; to store its counts: {ACCEPT}")
        interpreter = interpreter_name(compiler)
        with tempfile.TemporaryDirectory() as scratch:
            counted, skipped = count(cc, Path(scratch))
            if interpreter in everything or options.accept:
                counted |= count_commands(Path(scratch))
            else:
                skipped["commands"] = f"nobody has counted with {interpreter} yet"
    except Skipped as reason:
        print(f"instructions: skipped: {reason}")
        return 0
    for level, reason in skipped.items():
        print(f"instructions: {level} skipped: {reason}")
    if options.accept:
        everything[interpreter] = {"commands": counted.pop("commands")}
        everything[compiler] = {**everything.get(compiler, {}), **counted}
        ACCEPTED.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
        print(f"instructions: stored for {compiler}, levels {', '.join(counted)}")
        return 0
    wrong = differences(everything[compiler] | everything.get(interpreter, {}), counted)
    if wrong:
        allowed = f"{100 * TOLERANCE:.0f} % (commands {100 * COMMANDS_TOLERANCE:.0f} %)"
        print(f"instructions: these differ by more than {allowed} ({compiler}):")
        print(*(f"  {line}" for line in wrong), sep="\n")
        print(f"If that is as it should be, accept it: {ACCEPT}")
        return 1
    print(f"instructions: {sum(map(len, counted.values()))} counts as accepted, {compiler}, {', '.join(counted)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
