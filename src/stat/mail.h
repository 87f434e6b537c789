/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail.h - short messages from one worker to another: a ring for each pair, in the segment
 *
 * A ring has one writer and one reader: the letters stand in the sender's slot, how far they were read in the
 * receiver's. Nobody waits: what does not fit is refused, and the sender counts it. A letter is a hint that
 * something changed; the whole truth stands in its writer's slot, so a letter that is lost is made up for by the next
 * look there. Waking the receiver is the caller's matter (proc/post.h). One thread of a process.
 */
#ifndef FL_STAT_MAIL_H
#define FL_STAT_MAIL_H

#include "stat/stat.h"

enum mail_type {
	MAIL_NONE,
	MAIL_CLAIM,                  /* row (STAT_NO_ROW: several), epoch: I am the owner now (owner.h) */
	MAIL_NEWS,                   /* row, epoch: its health or its addresses changed */
	MAIL__COUNT
};
struct mail {
	uint32_t type;               /* enum mail_type */
	uint32_t from;               /* slot of the sender; mail_put() takes no notice of it */
	uint32_t row, epoch;
};
/* To the process of slot `to`. -EAGAIN: its ring is full; FL_ERANGE_: no such slot, or our own. */
int  mail_put(struct stat_seg *s, uint32_t to, const struct mail *m);
/* The next letter to us, senders in turn; false: there is none. What is damaged is skipped and counted. */
bool mail_next(struct stat_seg *s, struct mail *out);
/* What was written to a process that had this slot before is not for us: once, at the start. */
void mail_forget(struct stat_seg *s);
/* Damaged letters and rings that this process has met. */
uint64_t mail_torn(const struct stat_seg *s);

#endif
