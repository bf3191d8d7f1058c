#!/usr/bin/env bash
# tools/fuzz.sh [SECONDS [TARGET...]]: targets of tests/fuzz (all, if none is named) under libFuzzer, one after the other, so many seconds
# each. They start from the corpus that is kept with the sources; what is new goes to build/fuzz/corpus, what fails to
# build/fuzz/findings with the command that repeats it.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
each="${1:-60}"
shift $(($# > 0))
tools/bootstrap.sh fuzz
quietly fuzz-configure cmake --preset fuzz
step "fuzz: build" quietly fuzz-build cmake --build --preset fuzz -j "$jobs" --target fuzz

targets=("$@")
if ((${#targets[@]} == 0)); then
  for folder in tests/fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done
fi
failed=()
for target in "${targets[@]}"; do
  mkdir -p "build/fuzz/corpus/$target" "build/fuzz/findings"
  if ! "build/fuzz/llmcore_fuzz_$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/findings/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"build/logs/fuzz-$target.log" 2>&1; then
    tail -n 40 "build/logs/fuzz-$target.log" >&2
    printf 'repeat it with: build/fuzz/llmcore_fuzz_%s FILE   (in build/fuzz/findings)\n' "$target" >&2
    failed+=("$target")
  fi
  printf '   %-12s %s inputs in %s s, a corpus of %s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: //p' "build/logs/fuzz-$target.log")" "$each" \
    "$(find "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" -type f | wc -l)"
done
if ((${#failed[@]} > 0)); then die "found something: ${failed[*]}"; fi
printf '== %d targets, no finding\n' "${#targets[@]}"
