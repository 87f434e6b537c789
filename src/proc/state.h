/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what writing and taking over the master's state share; state.c draws the lines
 */
#ifndef FL_PROC_STATE_H
#define FL_PROC_STATE_H

#include "proc/master.h"

#define STATE_ENV      "FAIRLEAD_STATE_FD"     /* descriptor of the lines, over exec */
#define STATE_LINE_MAX 256                     /* bytes of a line, NUL included */

#endif
