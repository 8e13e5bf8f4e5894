# For scripts that show commands as a tutorial does, and check what comes of them. Source this after topology.sh; end with
# `exit $failed`.

failed=0

# on MACHINE COMMAND...: shows a command, runs it, keeps its output in $shown.
on() {
  local machine=$1 status
  shift
  printf '[root@%s ~]# %s\n' "${machine^}" "$*"
  shown=$("$machine" "$@" 2>&1)
  status=$?
  [[ -z $shown ]] || printf '%s\n' "$shown"
  if ((status != 0)); then
    echo "this command failed with status $status" >&2
    exit 1
  fi
}

# say TEXT...: a line between commands.
say() { printf '\n# %s\n' "$*"; }

# wrong WHAT: this is not as it should be; the script goes on, and fails.
wrong() {
  echo "wrong: $1" >&2
  failed=1
}

# expect WHAT TEXT: $shown must be that text.
expect() {
  [[ $shown == "$2" ]] || wrong "$1 should be:"$'\n'"$2"
}

# all_equal WHAT TEXT...: the texts must all be the same.
all_equal() {
  local what=$1 text
  shift
  for text in "$@"; do
    [[ $text == "$1" ]] || wrong "$what: '$1' and '$text' should be the same"
  done
}

# not_equal WHAT TEXT TEXT: the texts must not be the same.
not_equal() {
  [[ $2 != "$3" ]] || wrong "$1: it should not be '$2' again"
}
