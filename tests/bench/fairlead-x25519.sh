#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fairlead with X25519 alone; the harness's client must be made to offer it (tests/bench/all does).
BENCH_GROUPS=X25519
. "$(dirname "${BASH_SOURCE[0]}")/fairlead.sh"
