#!/usr/bin/env bash
# A game in one network namespace, its model in another. First no name server answers; then the cable is pulled in mid-stream, and
# put back. Exit code 77, with the reason, where namespaces cannot be made.
#
#   network_cut.sh PATH/TO/llmcore_soak
set -euo pipefail
program="$(realpath "$1")"
skip() {
  echo "skipped: $*"
  exit 77
}
[[ $(id -u) == 0 ]] || skip "network namespaces need root"
command -v ip >/dev/null || skip "ip is not installed (iproute2)"

game="llmcore-game-$$" model="llmcore-model-$$"
folder="$(mktemp -d)"
children=()
tidy() {
  exec 9>&- || true
  for child in "${children[@]}"; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; done
  ip netns del "$game" 2>/dev/null || true
  ip netns del "$model" 2>/dev/null || true
  rm -rf "$folder"
}
trap tidy EXIT
ip netns add "$game" 2>/dev/null && ip netns add "$model" || skip "this machine makes no network namespaces"
ip -n "$game" link add cable type veth peer name cable netns "$model" || skip "this machine has no veth"
for side in "$game 10.213.7.2" "$model 10.213.7.1"; do
  read -r name address <<<"$side"
  ip -n "$name" address add "$address/24" dev cable
  ip -n "$name" link set lo up
  ip -n "$name" link set cable up
done

ip netns exec "$model" "$program" serve 10.213.7.1 0 3 >"$folder/port" &
children+=($!)

fail() {
  echo "failed: $*"
  cat "$folder/said" 2>/dev/null
  exit 1
}
# wait_for WHAT IN_FILE: a line that was not there when the last one was found.
seen=0
wait_for() {
  for ((i = 0; i < 300; i++)); do
    line="$(tail -n "+$((seen + 1))" "$2" | grep -nxE "$1" | head -n1 | cut -d: -f1 || true)"
    if [[ -n $line ]]; then
      seen=$((seen + line))
      return
    fi
    sleep 0.05
  done
  fail "the game never said: $1"
}
wait_for '[0-9]+' "$folder/port"
port="$(cat "$folder/port")"
seen=0

# Names of the game's own: at first nobody knows the model, and the name server is not there.
echo "127.0.0.1 localhost" >"$folder/hosts"
printf 'nameserver 10.213.7.99\noptions timeout:1 attempts:1\n' >"$folder/resolv.conf"
mkfifo "$folder/input"
ip netns exec "$game" bash -c 'mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf && exec "$2" watch "$3"' \
  - "$folder" "$program" "http://model.llmcore.test:$port/v1" <"$folder/input" >"$folder/said" &
watcher=$!
children+=("$watcher")
exec 9>"$folder/input"

wait_for 'open' "$folder/said" # no name, the offline texts, and the breaker opens
echo "10.213.7.1 model.llmcore.test" >>"$folder/hosts"
wait_for 'streaming' "$folder/said"
ip -n "$model" link set cable down
wait_for 'broken off' "$folder/said"
wait_for 'open' "$folder/said"
ip -n "$model" link set cable up
wait_for 'streaming' "$folder/said"
ip -n "$game" link set cable down # on this side connections fail at once: there is no route
wait_for 'broken off' "$folder/said"
wait_for 'open' "$folder/said"
ip -n "$game" link set cable up
wait_for 'model' "$folder/said"

exec 9>&-
wait "$watcher" || fail "it ended badly"
tail -n1 "$folder/said"
