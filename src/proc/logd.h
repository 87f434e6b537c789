/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logd.h - the log writer: takes lines out of the rings of all slots, writes them to what the
 * master opened
 *
 * A file that does not take a line (disk full, reader stopped) costs that line; the loss is counted
 * and said once the file takes lines again. The data path never waits for it. Ends when its channel
 * does, after what was in the rings.
 */
#ifndef FL_PROC_LOGD_H
#define FL_PROC_LOGD_H

#include "proc/control.h"

FL_NORETURN void logd_main(const struct helper_start *s);

#endif
