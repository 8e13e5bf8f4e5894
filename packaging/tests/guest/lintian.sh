# What Debian's own judge says of the package.
. "${0%/*}/system.sh"

new_system
inside lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$(our_file 1)" 2>&1 || fail 'lintian objects'
