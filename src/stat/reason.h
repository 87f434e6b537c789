/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reason.h - counts why something was refused: one counter for each reason code (ROBUSTNESS
 * section 6)
 *
 * The rows belong to the appliance, not to an object of the configuration: each process that counts has
 * its own in its slot, the consolidator adds them up. So a vserver's row need not hold a hundred more
 * counters that are nearly always 0.
 */
#ifndef FL_STAT_REASON_H
#define FL_STAT_REASON_H

#include "stat/stat.h"

/* Master: the rows of a generation; 0 or a negative error. */
int  stat_reasons_assign(struct stat_seg *s, uint32_t generation);
/* Once in a process that counts, after stat_become(). NULL: nothing is counted from now on (tools, tests). */
void stat_reasons_attach(struct stat_seg *s);
/* One more for this reason: CTR_MESSAGE_H1_*, CTR_EXCHANGE_TXN_* or CTR_TLS_WHY_*, as `of` has them. */
void stat_reason(enum tbl_refusals of, unsigned reason);
/* The appliance's figure; any process. */
uint64_t stat_reason_total(const struct stat_seg *s, enum tbl_refusals of, unsigned reason);

#endif
