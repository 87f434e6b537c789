/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varbind.h - net-snmp's variables as values of ours. For poll.c only, in builds with net-snmp.
 */
#ifndef FL_SNMP_VARBIND_H
#define FL_SNMP_VARBIND_H

#ifdef HAVE_NETSNMP

#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>

#include "snmp/value.h"

void varbind_oid(const oid *from, size_t n, struct objid *to);
/* The owner clears it. False: no memory, or a type that is none. */
bool varbind_value(const netsnmp_variable_list *v, struct snmp_value *out);

#endif
#endif
