#!/bin/bash
# The functions that one `-a` and one `-C` execute outside of the section .text.drop_in: see ipvs-cli/drop_in.ld.
#
#     CARGO_PROFILE_RELEASE_STRIP=none cargo build --release -p ipvs-cli
#     tests/lab/executed.sh PROGRAM           # needs valgrind
set -euo pipefail

if [ "${1:-}" = --in-guest ]; then
    ipvsadm=/tmp/ipvsadm
    cp "$2" "$ipvsadm"
    ip link set lo up
    "$IPVSADM" -A -t 10.0.0.1:80 -s rr
    export VALGRIND_LIB=$4
    for arguments in "-a -t 10.0.0.1:80 -r 192.168.0.1:80 -m -w 5" "-C"; do
        # shellcheck disable=SC2086
        "$3" -q --tool=callgrind --demangle=no --callgrind-out-file=/tmp/executed "$ipvsadm" $arguments >&2
        sed -nE 's/^c?fn=\([0-9]+\) //p' /tmp/executed
    done
    exit
fi

program=$(realpath "$1")
valgrind=$(command -v valgrind.bin || command -v valgrind)
section=$(readelf -SW "$program" | sed -nE 's/^ *\[ *([0-9]+)\] \.text\.drop_in .*/\1/p')
cargo lab run --ipvsadm --kernel 6.12 "$0" --in-guest "$program" "$valgrind" /usr/libexec/valgrind | sort -u |
    join - <(readelf -sW "$program" | awk -v section="$section" '$4 == "FUNC" && $7 != section { print $8, $3 }' | sort -u)
