#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The harness's HAProxy with the rules of fairlead.sh, X-Forwarded-For and -Proto as fairlead sets them, and an
# access log in a file, in the combined format.
#
# HAProxy opens no files. `log stdout format raw` with stdout in a file costs it one writev() a line and nobody
# else anything; a socket would cost it one sendmsg() a line, and a syslog daemon that would have to be counted
# as well. Its ring with a backing file has no call a line, but is no log: it keeps the last lines only.

. "${BENCH_LIB:?the harness sets it}/haproxy.sh" :
eval "plain_$(declare -f config)"

RULES='    http-request deny deny_status 403 if { path_beg /admin } !{ src 10.0.0.0/8 }
    http-request redirect code 301 location https://www.example.org%[pathq] if { req.hdr(host) -m reg ^old\\. }
    http-request set-header X-Edge bench
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]'

FORMAT='%ci - - [%trl] %{+Q}r %ST %B %{+Q}[capture.req.hdr(0)] %{+Q}[capture.req.hdr(1)]'

config() {
	plain_config | awk -v rules="$RULES" -v format="$FORMAT" -v role="$BENCH_ROLE" '
		{ print }
		$1 == "global" { print "    log stdout format raw local0 info" }
		$1 == "defaults" {
			print "    log global"
			if (role != "tcp") { print "    option forwardfor"; gsub(" ", "\\ ", format) }
		}
		$1 == "bind" && role != "tcp" {
			print "    http-request capture req.hdr(referer) len 256"
			print "    http-request capture req.hdr(user-agent) len 256"
			print rules
			print "    log-format " format
		}
		$1 == "bind" && role == "tcp" { print "    option tcplog" }'
}

"$@"
