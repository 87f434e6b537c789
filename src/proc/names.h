/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - do the names of services resolve now?
 */
#ifndef FL_PROC_NAMES_H
#define FL_PROC_NAMES_H

#include "lb/lb.h"

/* Asks for all of them, for three seconds at most; a warning in d for each that has no address. -t only: it
 * runs a loop of its own. */
void names_check(const struct lb_config *lc, struct conf_diag *d);

#endif
