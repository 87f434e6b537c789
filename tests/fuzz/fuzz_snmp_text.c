/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_snmp_text.c - object identifiers of people and octets of agents
 *
 * What is read as an identifier has one text, which is read as the same again. Octets become a line of UTF-8 without
 * control characters, whatever they are.
 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "snmp/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) do { if (!(cond)) abort(); } while (0)

static void identifier(struct str s)
{
	char mem[OID_TEXT_MAX];
	struct objid o, again;
	struct sb b;
	int err = objid_parse(s, &o);

	CHECK(err == 0 || err == FL_ESYNTAX_ || err == FL_ERANGE_ || err == FL_ELIMIT_);
	if (err)
		return;
	sb_init(&b, mem, sizeof(mem));
	objid_text(&o, &b);
	CHECK(!b.over && objid_parse(sb_get(&b), &again) == 0);
	CHECK(objid_cmp(&o, &again) == 0 && objid_is_under(&again, &o));
	CHECK(str_eq(sb_get(&b), s.p[0] == '.' ? str_n(s.p + 1, s.n - 1) : s));
}

static void octets(const uint8_t *data, size_t size)
{
	struct snmp_value v = { .type = SNMP_T_OCTETS };
	struct sb b;

	v.bytes.p = (uint8_t *)(uintptr_t)data;
	v.bytes.n = size;
	sb_init_heap(&b);
	snmp_value_text(&v, &b);
	for (size_t i = 0; i < b.n; i++)
		CHECK((unsigned char)b.p[i] >= 0x20 && b.p[i] != 0x7f);
	b.n = 0;
	snmp_value_json(&v, &b);
	CHECK(b.n >= 2 && b.p[0] == '"' && b.p[b.n - 1] == '"');
	sb_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	identifier(str_n(data, size));
	octets(data, size);
	return 0;
}
