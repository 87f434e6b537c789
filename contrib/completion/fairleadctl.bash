# SPDX-License-Identifier: Apache-2.0
#
# fairleadctl.bash - completion of fairleadctl(1) for bash: verbs, kinds, options, names of what runs
#
# Made from the verb table by man/gen-verbs; changes here are lost.

_fairleadctl_names() {
	fairleadctl "${socket[@]}" --json show "$1" 2>/dev/null | sed -n 's/^ {"name": "\([^"]*\)".*/\1/p'
}

_fairleadctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} verb="" kind="" kinds="" options="" i socket=()
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--shm)
			socket=(--shm "${COMP_WORDS[++i]}")
			;;
		-s)
			if ((i + 1 == COMP_CWORD)); then
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				return
			fi
			socket=(-s "${COMP_WORDS[++i]}")
			;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=${COMP_WORDS[i]}
			elif [[ -z $kind ]]; then
				kind=${COMP_WORDS[i]}
			fi
			;;
		esac
	done
	if [[ -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -W "status show stat explain enable disable drain unblock reload reopen shutdown stop diff fmt top help snmp -s --shm --json -h -V" -- "$cur")
		return
	fi
	case $verb in
	show) kinds="vserver pool service monitor listener policy core process owner config errors stat info crash" ;;
	stat) kinds="vserver pool service listener policy core" ;;
	explain) kinds="request" ;;
	enable) kinds="service" ;;
	disable) kinds="service" ;;
	drain) kinds="service" ;;
	diff) kinds="config" ;;
	help) kinds="status show stat explain enable disable drain unblock reload reopen shutdown stop diff fmt top help snmp" ;;
	snmp) kinds="get next bulk walk" ;;
	esac
	if [[ -n $kinds && -z $kind ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$kinds" -- "$cur")
		return
	fi
	case "$verb${kinds:+ $kind}" in
	"status") options="--wait --json" ;;
	"show vserver") options="--json" ;;
	"show pool") options="--json" ;;
	"show service") options="--json" ;;
	"show monitor") options="--json" ;;
	"show listener") options="--json" ;;
	"show policy") options="--json" ;;
	"show core") options="--json" ;;
	"show process") options="--json" ;;
	"show owner") options="--json" ;;
	"show config") options="--defaults --origin --json" ;;
	"show errors") options="--all --json" ;;
	"show stat") options="--json" ;;
	"show info") options="--json" ;;
	"stat vserver") options="--all --json" ;;
	"stat pool") options="--all --json" ;;
	"stat service") options="--all --json" ;;
	"stat listener") options="--all --json" ;;
	"stat policy") options="--all --json" ;;
	"stat core") options="--all --json" ;;
	"show crash") options="--json" ;;
	"explain request") options="--from -H --vserver --sni --alpn --json" ;;
	"enable service") options="--reason --json" ;;
	"disable service") options="--reason --json" ;;
	"drain service") options="--wait --reason --json" ;;
	"unblock") options="--all --json" ;;
	"reload") options="--wait --json" ;;
	"reopen") options="--json" ;;
	"shutdown") options="--json" ;;
	"stop") options="--json" ;;
	"diff config") options="--json" ;;
	"fmt") options="--write --json" ;;
	"top") options="--once --interval --json" ;;
	"help") options="--json" ;;
	"snmp get") options="--version --community --user --auth --auth-pass --priv --priv-pass --timeout --retries --json" ;;
	"snmp next") options="--version --community --user --auth --auth-pass --priv --priv-pass --timeout --retries --json" ;;
	"snmp bulk") options="--rows --version --community --user --auth --auth-pass --priv --priv-pass --timeout --retries --json" ;;
	"snmp walk") options="--rows --version --community --user --auth --auth-pass --priv --priv-pass --timeout --retries --json" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case "$verb${kinds:+ $kind}" in
	"diff config" | "fmt") mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
	case $kind in
	vserver | pool | service | monitor | listener | policy | owner) mapfile -t COMPREPLY < <(compgen -W "$(_fairleadctl_names "$kind")" -- "$cur") ;;
	esac
}

complete -F _fairleadctl fairleadctl
