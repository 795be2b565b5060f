"""What fuzzing has found, replayed; seeds, too: each target takes them within its bounds, with or without a fuzzer."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fuzz import FOUND, core
from fuzz.bounds import attempt
from fuzz.targets.table import NAMES, target

FINDS = sorted(path for path in FOUND.glob("*/*") if path.is_file())


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    compiler = next(filter(shutil.which, ("gcc", "clang", "cc")), None)
    if compiler is None:
        pytest.skip("no C compiler here")
    return core.build(compiler, tmp_path_factory.mktemp("programs"), list(core.targets()), fuzzing=False)


def replay(program, *paths):
    return subprocess.run(
        [program, *paths], env=core.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_every_find_is_of_a_target():
    assert {path.parent.name for path in FINDS} <= {*NAMES, *core.targets()}


@pytest.mark.parametrize(
    "find", [path for path in FINDS if path.parent.name in NAMES], ids=lambda path: "-".join(path.parts[-2:])
)
def test_finds_in_python(find):
    attempt(target(find.parent.name).run, find.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_seeds_in_python(name):
    one = target(name)
    seeds = one.seeds()
    assert seeds
    for seed in seeds:
        assert 0 < len(seed) <= one.most_bytes
        attempt(one.run, seed)
        attempt(one.run, seed[: len(seed) // 2])


@pytest.mark.parametrize("name", core.targets())
def test_finds_in_c(programs, name, tmp_path):
    """Beside them an input of each length that begins with bytes in order."""
    inputs = [path for path in FINDS if path.parent.name == name]
    for size in (0, 1, 16, 100, 1000):
        inputs.append(tmp_path / str(size))
        inputs[-1].write_bytes(bytes(byte * 37 % 256 for byte in range(size)))
    done = replay(programs[name], *inputs)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stderr.splitlines()) == len(inputs)


def test_a_replay_fails_where_memory_is_overrun(tmp_path):
    """An oracle that never fails proves nothing."""
    source = tmp_path / "overrun.c"
    source.write_text('#include "input.h"\nint LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)\n'
                      "{ volatile uint8_t last = data[size]; return last & 0; }\n")  # fmt: skip
    compiler = next(filter(shutil.which, ("gcc", "clang", "cc")), None)
    if compiler is None:
        pytest.skip("no C compiler here")
    program = tmp_path / "overrun"
    folders = [f"-I{core.TARGETS_IN}", f"-I{core.ROOT / 'csrc' / 'include'}"]
    flags = [*core.FLAGS, f"-fsanitize={core.SANITIZERS}", "-Wno-unused-function", *folders]
    scalar = tmp_path / "core.c"
    scalar.write_text('#include "pksm.h"\nint pksm_page_is_zero(const uint8_t *p, size_t n) { return !p[0] && n; }\n'
                      "int pksm_cpu_best(void) { return 0; }\nint pksm_cpu_select(int level) { return level; }\n")  # fmt: skip
    subprocess.run([compiler, *flags, source, scalar, core.REPLAY, "-o", program], check=True)
    (tmp_path / "input").write_bytes(b"x")
    done = replay(program, tmp_path / "input")
    assert done.returncode
    assert "heap-buffer-overflow" in done.stderr


def test_finds_are_small():
    assert all(Path(path).stat().st_size <= 64 << 10 for path in FINDS)
