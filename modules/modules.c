/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.c - the modules of this binary, in the order in which their hooks run
 *
 * A new module is entered here, in directives.def (and counters_vserver.def) beside this file, and
 * in local.mk; nowhere else.
 */
#include "config.h"

#include "http/module.h"

extern const struct module module_request_id;

const struct module *const modules[] = {
	&module_request_id,      /* first: what comes later may log the id */
	NULL,
};
