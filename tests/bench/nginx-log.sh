#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The harness's nginx with the rules of fairlead.sh, X-Forwarded-For and -Proto as fairlead sets them, and an
# access log in a file, in the combined format. Written in pieces of 64 KB, which is its cheapest way, and in this
# like fairlead's.

. "${BENCH_LIB:?the harness sets it}/nginx.sh" :
eval "plain_$(declare -f config)"

RULES='location /admin { allow 10.0.0.0/8; deny all; proxy_pass http://origin; }
if ($host ~ ^old\\.) { return 301 https://www.example.org$request_uri; }'

config() {
	plain_config | awk -v rules="$RULES" -v file="$BENCH_DIR/access.log" '
		$1 == "access_log" { print "access_log " file " combined buffer=64k flush=1s;"; next }
		{ print }
		$1 == "proxy_set_header" {
			print "proxy_set_header X-Edge bench;"
			print "proxy_set_header X-Forwarded-For $remote_addr;"
			print "proxy_set_header X-Forwarded-Proto $scheme;"
		}
		$1 == "server" && $3 == "listen" { print rules }'
}

"$@"
