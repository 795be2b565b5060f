"""ci/c_coverage.py: which lines count, which are left out, and when it fails."""

import re
import runpy
import shutil
import subprocess

import pytest

from support import ROOT

SCRIPT = ROOT / "ci" / "c_coverage.py"
AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
EVERYTHING = {"sse4_2", "pclmulqdq", "aes", "avx2", "vaes", "vpclmulqdq"} | AVX512
KERNELS = {
    "static SSE42 uint64_t crc32c_sse42(const uint8_t *page)": {"sse4_2"},
    "AVX2 int pksm_page_is_zero_avx2(const uint8_t *page)": {"avx2"},
    "AVX512 int pksm_page_is_zero_avx512(const uint8_t *page)": AVX512,
    "static inline AES_NI uint64_t aes_finish(const __m128i lanes[LANES])": {"aes", "sse4_2"},
    "static WIDE_AES int aes_wide_many(const uint8_t *const *pages)": {"vaes", "avx2"},
    "WIDE_CRC(crc32, ethernet)": {"vpclmulqdq", "avx2"},
    "XXH3_SUM_AND_MANY(avx512, AVX512)": AVX512,
    "uint64_t pksm_aes_scalar(const uint8_t *page)": set(),
}


@pytest.fixture
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("declaration", KERNELS)
def test_functions_are_left_out_where_the_processor_lacks_what_they_need(script, declaration):
    assert script["can_run"](declaration, EVERYTHING)
    for flag in EVERYTHING:
        assert script["can_run"](declaration, EVERYTHING - {flag}) == (flag not in KERNELS[declaration])


def test_every_function_for_some_processors_says_so_in_its_first_line(script):
    """Whatever names a vector register of Intel's is left out on a processor that has none."""
    for path in (ROOT / "csrc").rglob("*_simd.c"):
        first = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"\w", line):
                first = line
            if line.startswith(" ") and "_mm" in line and not line.endswith("\\"):
                assert not script["can_run"](first, set()), f"{path.name}: {first}"


def test_lines_are_named_in_spans(script):
    assert script["spans"]([3, 4, 5, 9, 11, 12]) == "3-5, 9, 11-12"


@pytest.mark.skipif(not shutil.which("gcov"), reason="needs gcov")
def test_without_counts_it_says_what_to_do(tmp_path):
    done = subprocess.run(["python3", str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: no counts of gcc here (*.gcda): run `make coverage`\n"
