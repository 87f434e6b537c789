#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The harness's nginx with X25519 alone, as fairlead-x25519.sh.
. "${BENCH_LIB:?the harness sets it}/nginx.sh" :
eval "plain_$(declare -f config)"
config() { plain_config | sed '/^ *ssl_protocols /s/$/ ssl_ecdh_curve X25519;/'; }
"$@"
