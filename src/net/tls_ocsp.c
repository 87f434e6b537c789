/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_ocsp.c - an OCSP response from a file, for stapling (RFC 6066 section 8, RFC 6960)
 *
 * The response must be about the certificate; it is left out once its nextUpdate is past. Its signature is the
 * client's to check.
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <time.h>

#include "base/env.h"
#include "base/err.h"

#define SKEW_S 300

static int64_t wall_of(const ASN1_GENERALIZEDTIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* Is a single response about this serial number? Issuer names may be hashed in ways we need not know. */
static OCSP_SINGLERESP *find(OCSP_BASICRESP *basic, struct tls_cert *cert)
{
	X509 *leaf = tls_cert_leaf(cert);
	const ASN1_INTEGER *serial = leaf ? X509_get0_serialNumber(leaf) : NULL;

	for (int i = 0; serial && i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
		ASN1_INTEGER *their;

		OCSP_id_get0_info(NULL, NULL, NULL, &their,
				  (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one));
		if (ASN1_INTEGER_cmp(serial, their) == 0)
			return one;
	}
	return NULL;
}

/* NULL when good, else what is wrong; *stale: only too old. */
static const char *judge(OCSP_RESPONSE *r, struct tls_cert *cert, int64_t *until, bool *stale)
{
	int64_t now = (int64_t)(env_wall_us() / 1000000);
	ASN1_GENERALIZEDTIME *this_up = NULL, *next_up = NULL;
	OCSP_BASICRESP *basic = NULL;
	const char *wrong = NULL;
	OCSP_SINGLERESP *one;
	int reason;

	if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return "the responder did not answer \"successful\"";
	basic = OCSP_response_get1_basic(r);
	if (!basic)
		return "not a basic OCSP response";
	one = find(basic, cert);
	if (!one) {
		wrong = "it is about another certificate";
	} else {
		int status = OCSP_single_get0_status(one, &reason, NULL, &this_up, &next_up);

		*until = wall_of(next_up);
		*stale = *until && *until < now;
		if (status == V_OCSP_CERTSTATUS_REVOKED)
			wrong = "it says that the certificate is revoked";
		else if (wall_of(this_up) > now + SKEW_S)
			wrong = "it is from the future";
	}
	OCSP_BASICRESP_free(basic);
	return wrong;
}

void tls_ocsp_load(const struct conf *c, const struct conf_val *v, struct tls_cert *cert,
		   struct pool *p, struct tls_ocsp *out, struct conf_diag *d)
{
	OCSP_RESPONSE *r;
	const unsigned char *at;
	const char *wrong;
	bool stale = false;
	struct str der;
	int err = conf_src_read(c->src, v->s.p, false, &der);

	if (err) {
		conf_error(d, v->loc, v->span, NULL, "cannot read OCSP response \"%s\": %s", v->s.p,
			   err == -EISDIR ? "it is a directory" : fl_err_text(err));
		return;
	}
	at = (const unsigned char *)der.p;
	r = d2i_OCSP_RESPONSE(NULL, &at, (long)der.n);
	ERR_clear_error();
	if (!r) {
		conf_error(d, v->loc, v->span, NULL, "\"%s\" is not an OCSP response in DER form",
			   v->s.p);
		return;
	}
	wrong = judge(r, cert, &out->until_s, &stale);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	if (wrong) {
		conf_error(d, v->loc, v->span, NULL, "OCSP response \"%s\" cannot be stapled: %s",
			   v->s.p, wrong);
	} else if (stale) {
		conf_warn(d, v->loc, v->span, "fetch a new one and reload",
			  "OCSP response \"%s\" is stale; it is left out", v->s.p);
	} else {
		out->der = (uint8_t *)pool_strndup(p, der.p, der.n);
		out->n = out->der ? der.n : 0;
	}
}
