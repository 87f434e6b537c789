/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dying.h - last words: a worker that dies by a fatal signal says where, and what it worked on
 */
#ifndef FL_PROC_DYING_H
#define FL_PROC_DYING_H

#include "stat/stat.h"

/* Once the process has its slot. What it works on is work_note's (base/work.h). */
void dying_words(struct stat_seg *seg);

#endif
