#!/bin/sh
# Builds each tests/c/test_*.c with the C core under ASan and UBSan, without Python, and runs it.
# PKSM_SEED repeats an earlier run, CC names the compiler.
set -eu
cd "$(dirname "$0")/.."
cc=${CC:-gcc}
PKSM_SEED=${PKSM_SEED:-$(date +%s)}
export PKSM_SEED
export UBSAN_OPTIONS=print_stacktrace=1

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
set -- tests/c/test_*.c
if [ ! -e "$1" ]; then
    echo "sanitize: no tests/c/test_*.c to run" >&2
    exit 1
fi

# Some kernels place mappings where an older ASan keeps its shadow: no randomisation where we may turn it off.
fixed=
if setarch -R true 2>/dev/null; then fixed="setarch -R"; fi

build() {
    "$cc" -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
        -Wall -Wextra -Werror -Icsrc/include -Icsrc "$@"
}

echo "C tests under ASan and UBSan, seed $PKSM_SEED (repeat with PKSM_SEED=$PKSM_SEED make sanitize)"
build -r csrc/*.c csrc/checksum/*.c -o "$out/core.o"
for test in "$@"; do
    name=$(basename "$test" .c)
    build "$test" "$out/core.o" -o "$out/$name"
    if $fixed "$out/$name" "$PKSM_SEED" >"$out/$name.log" 2>&1; then
        echo "  $name: ok"
    else
        code=$?
        cat "$out/$name.log"
        echo "  $name: FAILED, exit code $code, seed $PKSM_SEED" >&2
        exit 1
    fi
done
