#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fairlead as a target of the bench harness (its README says what the variables mean).
#
# FAIRLEAD_BIN         the binary to measure; default: build/bin/fairlead of this checkout
# BENCH_ACCESS_LOG=1   access log (combined) to a file; logd is one of our processes, its CPU counts
# BENCH_POLICIES=1     three rules for every request (http, https); -log.sh of the peers has the same
# BENCH_GROUPS=LIST    key exchange groups instead of those that the harness's client asks for

FAIRLEAD_BIN=${FAIRLEAD_BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/bin/fairlead}

has_udp() {   # a vserver may be `protocol udp`
	"$FAIRLEAD_BIN" -x directives |
		awk -F'\t' '$1 == "vserver" && $2 == "protocol" && $3 ~ /udp/ { yes = 1 } END { exit !yes }'
}

roles() { echo http https tcp rules backends reload; ! has_udp || echo udp udp-dns; }

lacks() { echo h2-small; }      # scenarios of these roles that need what is not built

pool() {   # name, first option
	printf 'pool %s { %s; monitor none; service o 127.0.0.1:%s }\n' "$1" "${2:-method round-robin}" "$BENCH_ORIGIN"
}

vserver() {   # further lines come from standard input
	printf 'vserver bench {\n    listen 127.0.0.1:%s %s\n    idle-timeout 10m\n' "$BENCH_PORT" "$1"
	cat
	printf '}\n'
}

policies() {   # none, or what a site has: a closed folder, an old name, a mark for the application
	[ -n "${BENCH_POLICIES:-}" ] || return 0
	cat <<-'END'
	    policy admin when starts_with(http.request.uri.path, "/admin") and not ip.src in {10.0.0.0/8} { reject 403 }
	    policy legacy when http.host matches "^old\\." { redirect 301 "https://www.example.org{http.request.uri}" }
	    policy edge { set-header X-Edge "bench" }
	END
}

web() {   # options of the listener
	pool app
	{ policies; echo '    default use app'; } | vserver "$1"
}

config() {
	local i
	printf 'workers %s\nadmin { socket %s/ctl.sock }\nerror-log %s/error.log warn\n' \
		"$BENCH_WORKERS" "$BENCH_DIR" "$BENCH_DIR"
	[ -n "${BENCH_ACCESS_LOG:-}" ] && printf 'access-log %s/access.log combined\n' "$BENCH_DIR"
	case $BENCH_ROLE in
	http)  web '' ;;
	https) web "tls { cert $BENCH_CERT; ciphersuites TLS_AES_128_GCM_SHA256; groups ${BENCH_GROUPS:-P-256:X25519} }" ;;
	tcp)
		pool app
		printf '    protocol tcp\n    default use app\n' | vserver ''
		;;
	udp|udp-dns)
		pool app
		{
			printf '    protocol udp\n    default use app\n'
			[ "$BENCH_ROLE" = udp ] || echo '    responses 1'
		} | vserver ''
		;;
	rules)
		pool app
		{
			for ((i = 0; i < BENCH_N; i++)); do
				printf '    policy r%d when starts_with(http.request.uri.path, "/r/%d/") { use app }\n' $i $i
			done
			echo '    default respond 404'
		} | vserver ''
		;;
	backends)
		printf 'pool app {\n    method least-connection\n    monitor none\n'
		for ((i = 0; i < BENCH_N; i++)); do
			printf '    service s%d 127.0.0.1:%s\n' $i "$BENCH_ORIGIN"
		done
		echo '}'
		echo '    default use app' | vserver ''
		;;
	reload)
		pool app
		for ((i = 0; i < BENCH_N; i++)); do
			pool "b$i"
		done
		{
			printf '    policy gen { set-response-header X-Gen "%s" }\n' "$BENCH_GEN"
			for ((i = 0; i < BENCH_N; i++)); do
				printf '    policy b%d when http.request.uri.path == "/b/%d" { use b%d }\n' $i $i $i
			done
			echo '    default use app'
		} | vserver ''
		;;
	esac
}

start() {
	config_only
	launch "$FAIRLEAD_BIN" -c "$BENCH_DIR/conf"
}

config_only() { config >"$BENCH_DIR/conf"; }
signal_reload() { kill -HUP "$(cat "$BENCH_DIR/pid")"; }

version() { "$FAIRLEAD_BIN" -v; }

. "${BENCH_LIB:-$(dirname "${BASH_SOURCE[0]}")}/lib.sh"
