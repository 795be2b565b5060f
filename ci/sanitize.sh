#!/bin/sh
# Builds each tests/c/test_*.c with the C core under ASan and UBSan, without Python, and runs it; then
# all of them under MSan, where there is a clang that has it, and test_threads under TSan.
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

flags="-std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
    -Wall -Wextra -Werror -pedantic -Icsrc/include -Icsrc"
export cc flags out

echo "C tests under ASan and UBSan, seed $PKSM_SEED (repeat with PKSM_SEED=$PKSM_SEED make sanitize)"
find csrc -name "*.c" | xargs -n 1 -P "$(nproc)" sh -c '"$cc" $flags -c "$0" -o "$out/$(basename "$0" .c).o"'
printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" sh -c '"$cc" $flags "$0" "$out"/*.o -pthread -o "$out/$(basename "$0" .c)"'
for test in "$@"; do
    name=$(basename "$test" .c)
    if $fixed "$out/$name" "$PKSM_SEED" >"$out/$name.log" 2>&1; then
        echo "  $name: ok"
    else
        code=$?
        cat "$out/$name.log"
        echo "  $name: FAILED, exit code $code, seed $PKSM_SEED" >&2
        exit 1
    fi
done

# Memory that is read before it is written: only clang finds that.
msan=$(command -v clang || true)
if [ -z "$msan" ] || ! echo "int main(void) { return 0; }" | "$msan" -x c -fsanitize=memory - -o "$out/empty" 2>/dev/null ||
    ! $fixed "$out/empty" 2>/dev/null; then
    echo "  no clang with MSan here: skipped"
else
    mkdir "$out/memory"
    memory=$(echo "$flags" | sed 's/address,undefined/memory/')
    export msan memory
    find csrc -name "*.c" | xargs -n 1 -P "$(nproc)" sh -c '"$msan" $memory -c "$0" -o "$out/memory/$(basename "$0" .c).o"'
    printf '%s\n' "$@" |
        xargs -n 1 -P "$(nproc)" sh -c '"$msan" $memory "$0" "$out"/memory/*.o -pthread -o "$out/memory/$(basename "$0" .c)"'
    for test in "$@"; do
        name=$(basename "$test" .c)
        if ! $fixed "$out/memory/$name" "$PKSM_SEED" >"$out/memory/log" 2>&1; then
            cat "$out/memory/log"
            echo "  $name under MSan: FAILED, seed $PKSM_SEED" >&2
            exit 1
        fi
    done
    echo "  all under MSan: ok"
fi

# What threads call side by side. TSan stands alone, with objects of its own.
if ! echo "int main(void) { return 0; }" | "$cc" -x c -fsanitize=thread - -o "$out/empty" 2>/dev/null ||
    ! $fixed "$out/empty" 2>/dev/null; then
    echo "  no TSan for $cc here: skipped"
    exit 0
fi
mkdir "$out/threads"
flags=$(echo "$flags" | sed 's/address,undefined/thread/')
find csrc -name "*.c" | xargs -n 1 -P "$(nproc)" sh -c '"$cc" $flags -c "$0" -o "$out/threads/$(basename "$0" .c).o"'
"$cc" $flags tests/c/test_threads.c "$out"/threads/*.o -pthread -o "$out/threads/test"
log=$out/threads/log
if ! $fixed "$out/threads/test" "$PKSM_SEED" >"$log" 2>&1; then
    cat "$log"
    echo "  test_threads under TSan: FAILED, seed $PKSM_SEED" >&2
    exit 1
fi
if $fixed "$out/threads/test" "$PKSM_SEED" race >"$log" 2>&1 || ! grep -q "data race" "$log"; then
    echo "  test_threads under TSan: FAILED, it does not see a race" >&2
    exit 1
fi
echo "  test_threads under TSan: ok"
