/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - which worker runs on which CPU; pure
 */
#ifndef FL_PROC_PLACE_H
#define FL_PROC_PLACE_H

#include <sched.h>

#include "base/compiler.h"

#define PLACE_SHARED (-1)            /* of a control core: none of its own */

/*
 * CPUs of n workers into cpu[0..n). Each has a home: the i-th CPU of those that were ever allowed, without the control
 * core; with more workers than those, the homes begin anew. A home that is not allowed now is replaced: by an allowed CPU
 * that is nobody's, else workers share. So a set that shrinks moves nobody but those who must, and one that
 * grows again brings them back. `control` is nobody's home, unless it is the only CPU.
 */
void place_plan(const cpu_set_t *ever, const cpu_set_t *now, int control, unsigned n, int *cpu);
/* How many workers have a CPU of their own then: at least 1. */
unsigned place_room(const cpu_set_t *now, int control);
/* "0-2,5" */
struct sb;
void place_text(const cpu_set_t *set, struct sb *b);

#endif
