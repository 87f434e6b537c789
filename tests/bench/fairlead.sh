#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fairlead as a target of the bench harness (its README says what the variables mean).
# FAIRLEAD_BIN: the binary to measure; default: build/bin/fairlead of this checkout.

FAIRLEAD_BIN=${FAIRLEAD_BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/bin/fairlead}

roles() { echo http https tcp rules backends reload; }

pool() {   # name, first option
	printf 'pool %s { %s; monitor none; service o 127.0.0.1:%s }\n' "$1" "${2:-method round-robin}" "$BENCH_ORIGIN"
}

vserver() {   # further lines come from standard input
	printf 'vserver bench {\n    listen 127.0.0.1:%s %s\n    idle-timeout 10m\n' "$BENCH_PORT" "$1"
	cat
	printf '}\n'
}

config() {
	local i
	printf 'workers %s\nadmin { socket %s/ctl.sock }\nerror-log %s/error.log warn\n' \
		"$BENCH_WORKERS" "$BENCH_DIR" "$BENCH_DIR"
	[ -n "${BENCH_ACCESS_LOG:-}" ] && printf 'access-log %s/access.log combined\n' "$BENCH_DIR"
	case $BENCH_ROLE in
	http)
		pool app
		echo '    default use app' | vserver ''
		;;
	https)
		pool app
		echo '    default use app' | vserver "tls { cert $BENCH_CERT; ciphersuites TLS_AES_128_GCM_SHA256; groups P-256:X25519 }"
		;;
	tcp)
		pool app
		printf '    protocol tcp\n    default use app\n' | vserver ''
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
