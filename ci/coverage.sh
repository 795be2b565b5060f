#!/bin/sh
# One run of the tests in Python that measures branches of Python and lines of C, and holds both against their floors:
# coverage.sh VENV DIRECTORY PYTEST... The extension in the checkout counts its lines meanwhile.
# Tests that fail run once more, alone: those that watch this machine may fail because of the tests beside them. Which
# they were is the last that is printed.
set -u
venv=$1 out=$2
shift 2
status=0

compile_as_ever() {
    rm -f pksm/engine/native/*.so "$venv/.built"
    make --no-print-directory "$venv/.built" || exit 1
}
trap compile_as_ever EXIT
trap 'exit 130' INT TERM

rm -rf "$out" pksm/engine/native/*.so "$venv/.built" # whatever comes next compiles it anew, even after a kill
echo "compiling pksm with counters ..."
PKSM_GCOV=1 "$venv/bin/python" -W ignore setup.py --quiet build_ext --inplace --force --build-temp="$out/c" || exit 1
failed=.pytest_cache/v/cache/lastfailed again=
rm -f "$failed"
if ! "$venv/bin/python" -m coverage run "$@"; then
    again=$(cat "$failed" 2>/dev/null)
    # Nothing on that list means that pytest itself failed.
    [ -n "$again" ] && "$venv/bin/python" -m coverage run "$@" -n 0 --last-failed --last-failed-no-failures=none ||
        status=1
fi
"$venv/bin/python" -m coverage combine --quiet && "$venv/bin/python" -m coverage report || status=1
"$venv/bin/python" ci/c_coverage.py "$out/c" || status=1
[ -z "$again" ] || printf 'failed beside others: %s\n' "$again"
[ "$status" -eq 0 ] || printf 'failed: coverage below its floor, or alone too: %s\n' "$(cat "$failed" 2>/dev/null)"
exit $status
