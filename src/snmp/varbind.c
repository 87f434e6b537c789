/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varbind.c - see varbind.h
 */
#include "config.h"

#ifdef HAVE_NETSNMP

#include "snmp/varbind.h"

#include "base/env.h"

void varbind_oid(const oid *from, size_t n, struct objid *to)
{
	to->n = (unsigned)FL_MIN(n, (size_t)OID_ARCS_MAX);
	for (unsigned i = 0; i < to->n; i++)
		to->arc[i] = (uint32_t)from[i];
}

static bool take_bytes(const netsnmp_variable_list *v, enum snmp_type type, struct snmp_value *out)
{
	out->type = type;
	out->bytes.n = v->val_len;
	out->bytes.p = env_malloc(v->val_len + 1);
	if (!out->bytes.p) {
		out->type = SNMP_T_NULL;
		return false;
	}
	if (v->val_len)
		memcpy(out->bytes.p, v->val.string, v->val_len);
	return true;
}

static void take_unsigned(const netsnmp_variable_list *v, enum snmp_type type, struct snmp_value *out)
{
	out->type = type;
	if (type == SNMP_T_COUNTER64)
		out->u = (uint64_t)v->val.counter64->high << 32 | (v->val.counter64->low & UINT32_MAX);
	else
		out->u = (uint64_t)*v->val.integer & UINT32_MAX;
}

bool varbind_value(const netsnmp_variable_list *v, struct snmp_value *out)
{
	switch (v->type) {
	case ASN_INTEGER:
		*out = (struct snmp_value){ .type = SNMP_T_INTEGER, .i = *v->val.integer };
		return true;
	case ASN_COUNTER:
		take_unsigned(v, SNMP_T_COUNTER32, out);
		return true;
	case ASN_GAUGE:
		take_unsigned(v, SNMP_T_GAUGE32, out);
		return true;
	case ASN_TIMETICKS:
		take_unsigned(v, SNMP_T_TIMETICKS, out);
		return true;
	case ASN_COUNTER64:
	case ASN_OPAQUE_COUNTER64:
	case ASN_OPAQUE_U64:
		take_unsigned(v, SNMP_T_COUNTER64, out);
		return true;
	case ASN_OPAQUE_I64:
		take_unsigned(v, SNMP_T_COUNTER64, out);
		*out = (struct snmp_value){ .type = SNMP_T_INTEGER, .i = (int64_t)out->u };
		return true;
	case ASN_OPAQUE_FLOAT:
		*out = (struct snmp_value){ .type = SNMP_T_FLOAT, .d = (double)*v->val.floatVal };
		return true;
	case ASN_OPAQUE_DOUBLE:
		*out = (struct snmp_value){ .type = SNMP_T_FLOAT, .d = *v->val.doubleVal };
		return true;
	case ASN_OBJECT_ID:
		out->type = SNMP_T_OBJID;
		varbind_oid(v->val.objid, v->val_len / sizeof(oid), &out->oid);
		return true;
	case ASN_IPADDRESS:
		out->type = SNMP_T_IP;
		if (v->val_len != 4)
			return false;
		memcpy(out->ip, v->val.string, 4);
		return true;
	case ASN_OCTET_STR:
	case ASN_BIT_STR:
		return take_bytes(v, SNMP_T_OCTETS, out);
	case ASN_OPAQUE:
	case ASN_NSAP:
		return take_bytes(v, SNMP_T_OPAQUE, out);
	case ASN_NULL:
		out->type = SNMP_T_NULL;
		return true;
	case SNMP_NOSUCHOBJECT:
		out->type = SNMP_T_NO_OBJECT;
		return true;
	case SNMP_NOSUCHINSTANCE:
		out->type = SNMP_T_NO_INSTANCE;
		return true;
	case SNMP_ENDOFMIBVIEW:
		out->type = SNMP_T_END;
		return true;
	default:
		return false;
	}
}

#else

typedef int varbind_is_empty;        /* ISO C wants something here */

#endif
