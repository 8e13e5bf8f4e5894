# An incident: every second request hangs. Find the real server, take it out of service, find the cause, put it back.
# Run it with: cargo lab run docs/guides/incident.sh

cd "$(dirname "$0")/../../tests/lab/scenes" || exit
. ./topology.sh
. ./steps.sh
build_network || exit
cd /tmp || exit
director ipvs-cli apply --quiet - <<TOML || exit
version = 1

[[services]]
address = "$VIP:80"
protocol = "tcp"
scheduler = "rr"
destinations = [{ address = "$RIP1" }, { address = "$RIP2" }]
TOML
director ipvs-cli show --toml >shop.toml
# Somebody tidied up the addresses of the second real server.
ip -n rs2 address del "$VIP/32" dev lo

# fails MACHINE COMMAND...: as `on`, for a command that ends with another status than 0.
fails() {
  local machine=$1
  shift
  printf '[root@%s ~]# %s\n' "${machine^}" "$*"
  shown=$("$machine" "$@" 2>&1) && wrong "this command should fail"
  printf '%s\n' "$shown"
}

# try_both: two requests, one for each real server; $answers has what came.
try_both() {
  answers=
  for try in 1 2; do
    printf '[root@Client ~]# %s\n' "lab http-get $VIP:80"
    shown=$(client lab http-get "$VIP:80" 2>&1)
    printf '%s\n' "$shown"
    answers+="$shown "
  done
}

say "Every second request hangs."
try_both
[[ $answers == *"timed out"* && $answers == *RS1* ]] || wrong "one request should hang"

say "What the director holds, and whether it is as the file says."
on director ipvs-cli show
on director ipvs-cli diff shop.toml

say "Which server do they hang at?"
on director ipvs-cli conns --state SYN_RECV --by server
[[ $shown == *"$RIP2:80"$'\n'* ]] || wrong "they should hang at the second real server"

say "Take it out of service."
fails director ipvs-cli drain --all "$RIP2" --timeout 1
on client lab http-get "$VIP:80"
expect "the answer" "RS1 ($RIP1)"
on client lab http-get "$VIP:80"
expect "the answer" "RS1 ($RIP1)"

say "Find the cause."
on director ipvs-cli doctor
fails rs2 ipvs-cli doctor --real-server "$VIP"
command=$(sed -n 's/^  # //p' <<<"$shown")
on rs2 $command
on rs2 ipvs-cli doctor --real-server "$VIP"

say "Put it back."
on director ipvs-cli undrain --all "$RIP2"
try_both
[[ $answers == *RS1* && $answers == *RS2* ]] || wrong "both real servers should answer"
on director ipvs-cli diff shop.toml
exit $failed
