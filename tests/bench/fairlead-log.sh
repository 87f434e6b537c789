#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fairlead with policies and an access log in a file; haproxy-log.sh and nginx-log.sh do the same.
BENCH_ACCESS_LOG=1 BENCH_POLICIES=1
. "$(dirname "${BASH_SOURCE[0]}")/fairlead.sh"
