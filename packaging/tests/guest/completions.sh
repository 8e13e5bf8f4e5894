# Completions, as the shells themselves answer: what may stand next.
. "${0%/*}/system.sh"

new_system
install_ipvs_cli
inside ipvsadm -A -t 192.0.2.1:80 -s rr
inside ipvsadm -A -u '[2001:db8::1]:53' -s rr
inside ipvsadm -A -f 10 -s rr
inside ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m
inside ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m

# Each of these presses Tab behind its arguments, one after the other, and prints what is offered, a line for each.
bash_offers() {
    inside bash -c '
        . /usr/share/bash-completion/bash_completion
        for line; do
            program=${line%% *}
            _completion_loader "$program"
            # As readline cuts a line into words: colons are words of their own, and what is being typed is the last.
            read -r -a COMP_WORDS <<<"${line//:/ : }"
            [[ $line == *[\ :] ]] && COMP_WORDS+=("")
            COMP_LINE=$line COMP_POINT=${#line} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            definition=$(complete -p "$program")
            if [[ $definition =~ -F\ ([^ ]*) ]]; then
                "${BASH_REMATCH[1]}" "$program" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            else
                [[ $definition =~ -W\ ([^ ]*) ]]
                COMPREPLY=($(compgen -W "${BASH_REMATCH[1]}" -- "${COMP_WORDS[COMP_CWORD]}"))
            fi
            printf "%s\n" "${COMPREPLY[*]}"
        done' bash "$@" 2>&1
}

# zsh completes only at a terminal, so the keys go to one of its own. It prints what completion adds, not how it is shown.
zsh_offers() {
    inside zsh -f -c '
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -D; setopt noautomenu; LISTMAX=10000"
        zpty -w shell "compadd() { local -a new; builtin compadd -O new \"\$@\"; offers+=(\$new); builtin compadd \"\$@\" }"
        # In two pieces, as the terminal echoes what is typed.
        zpty -w shell "offered() { print -r -- \"OFF\"\"ERED<\${(j: :)offers}>\"; offers=() }"
        for line; do
            zpty -w shell "comppostfuncs=(offered)"
            zpty -w -n shell "$line"$'"'\\t'"'
            zpty -r shell said "*OFFERED<*>*"
            print -r -- "${${said##*OFFERED<}%%>*}"
            # Away with the line.
            zpty -w shell $'"'\\cu'"'
        done' zsh "$@"
}

fish_offers() {
    inside fish --private --no-config -c '
        for line in $argv
            source /usr/share/fish/vendor_completions.d/(string split " " -- $line)[1].fish
            set -l offered (complete --do-complete $line | string split -f 1 \t)
            printf "%s\n" "$offered"
        end' "$@" 2>&1
}

schedulers='dh fo lblc lblcr lc mh nq ovf rr sed sh wlc wrr'
lines=() wanted=()
for program in ipvsadm ipvs-cli; do
    lines+=("$program -A -t 192.0.2.9:80 -s ") wanted+=("$schedulers")
    lines+=("$program -a -t 192.0.2.1:80 -r 10.0.0.9 -i --tun-type ") wanted+=('gre gue ipip')
    lines+=("$program --start-daemon ") wanted+=('backup master')
    lines+=("$program --add-service --sched") wanted+=('--sched-flags --scheduler')
    lines+=("$program --sav") wanted+=(--save)
    lines+=("$program -e -f ") wanted+=(10)
    lines+=("$program -S -") wanted+=('--numeric -n')
    lines+=("$program -d -t 192.0.2.1:80 -r ") wanted+=('10.0.0.1:8080 10.0.0.2:8080')
    lines+=("$program -E -u ") wanted+=('[2001:db8::1]:53')
done
lines+=('ipvsadm-save -') wanted+=(-n)
# What only ipvs-cli has: subcommands, with options of their own.
lines+=('ipvs-cli app') wanted+=(apply)
lines+=('ipvs-cli diff --color ') wanted+=('always auto never')
lines+=('ipvs-cli show --j') wanted+=(--json)
lines+=('ipvs-cli mark ') wanted+=('add check delete list')
lines+=('ipvs-cli mark add --inter') wanted+=(--interface)
lines+=('ipvs-cli drain --netn') wanted+=(--netns)
# A file, in a directory with nothing else: zsh gives its path in pieces.
mkdir "$system/rules"
touch "$system/rules/rules"
lines+=('ipvs-cli apply /rules/') wanted+=(rules)

# Without directories and repetitions.
in_order() {
    tr ' ' '\n' | sed 's|^/rules/||' | LC_ALL=C sort -u | paste -s -d ' '
}

for shell in bash zsh fish; do
    mapfile -t offered < <("${shell}_offers" "${lines[@]}")
    for at in "${!lines[@]}"; do
        same "what $shell offers behind '${lines[at]}'" "$(in_order <<<"${offered[at]-}")" "${wanted[at]}"
    done
done
# Colons are where bash begins a new word.
same 'what bash offers behind a colon' "$(bash_offers 'ipvsadm -D -t 192.0.2.1:')" 80
