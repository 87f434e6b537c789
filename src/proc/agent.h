/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - the agent thread of `control`: a loop of its own for what talks to other machines
 *
 * Now the SNMP manager (snmp/manager.h). It may die or hang at any time: control watches its sign of life and ends when
 * that stands still, and the master starts another control.
 */
#ifndef FL_PROC_AGENT_H
#define FL_PROC_AGENT_H

#include "base/compiler.h"

/* Starts the thread. Negative on failure. */
int  agent_start(void);
/* Time of its last sign of life, monotonic ms; 0: it was not started. Any thread. */
uint64_t agent_heartbeat_ms(void);

#endif
