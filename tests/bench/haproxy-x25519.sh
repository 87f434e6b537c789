#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The harness's HAProxy with X25519 alone, as fairlead-x25519.sh.
. "${BENCH_LIB:?the harness sets it}/haproxy.sh" :
eval "plain_$(declare -f config)"
config() { plain_config | sed '/^ *bind .* ssl /s/$/ curves X25519/'; }
"$@"
