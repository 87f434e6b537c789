/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_leaf.c - what a server must know of its certificate (RFC 5280 section 4.1), without OpenSSL's X509
 *
 * OpenSSL 3.0 collects its decoders anew for the public key of each certificate: 110 us, and the object has
 * some 5 KB. With ten thousand certificates that is a second of each reload, for names of which most are
 * never asked for. So the certificate is taken apart here, each part by OpenSSL's own reader, and the X509 is
 * made when a handshake wants it. Whatever is unusual (another kind of key, a key that does not match) is
 * left to the slow way, which also has the words for it.
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

/* DER ------------------------------------------------------------------------------------- */

struct der {
	const unsigned char *p, *end;
};

/* The next element: its content, or with whole its header too. False: another tag, or damaged. */
static bool take(struct der *d, int want, int want_class, bool whole, struct der *out)
{
	const unsigned char *start = d->p, *p = start;
	bool nests = want == V_ASN1_SEQUENCE || want_class == V_ASN1_CONTEXT_SPECIFIC;
	int tag, class, r;
	long n;

	if (d->p >= d->end)
		return false;
	r = ASN1_get_object(&p, &n, &tag, &class, d->end - d->p);
	if ((r & 0x81) || !(r & V_ASN1_CONSTRUCTED) == nests || tag != want || class != want_class)      /* damaged, or of open length */
		return false;
	*out = (struct der){ whole ? start : p, p + n };
	d->p = p + n;
	return true;
}

static bool seq(struct der *d, bool whole, struct der *out)
{
	return take(d, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL, whole, out);
}

static bool bit_string(struct der *d, struct der *out)
{
	return take(d, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL, false, out) && out->p < out->end && *out->p++ <= 7;
}

static bool algorithm_ok(struct der d)
{
	const unsigned char *at = d.p;
	X509_ALGOR *a = d2i_X509_ALGOR(NULL, &at, d.end - d.p);
	bool ok = a && at == d.end;

	X509_ALGOR_free(a);
	return ok;
}

static X509_NAME *name_of(struct der d)
{
	const unsigned char *at = d.p;
	X509_NAME *name = d2i_X509_NAME(NULL, &at, d.end - d.p);

	if (name && at != d.end) {
		X509_NAME_free(name);
		return NULL;
	}
	return name;
}

static bool times(struct der d, struct tls_leaf *leaf)
{
	ASN1_TIME *from = d2i_ASN1_TIME(NULL, &d.p, d.end - d.p);
	ASN1_TIME *to = from ? d2i_ASN1_TIME(NULL, &d.p, d.end - d.p) : NULL;
	bool ok = to && d.p == d.end;

	if (ok) {
		leaf->not_before_s = tls_wall_of(from);
		leaf->not_after_s = tls_wall_of(to);
	}
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	return ok;
}

static bool extensions(struct der d, struct tls_leaf *leaf)
{
	const unsigned char *at = d.p;
	X509_EXTENSIONS *all = d2i_X509_EXTENSIONS(NULL, &at, d.end - d.p);
	bool ok = all && at == d.end;
	int critical = 0;

	if (ok) {
		leaf->san = X509V3_get_d2i(all, NID_subject_alt_name, &critical, NULL);
		ok = leaf->san || critical == -1;          /* -1: there is none */
	}
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	return ok;
}

/* The key ----------------------------------------------------------------------------------- */

static bool same_number(const EVP_PKEY *key, const char *param, struct der *d)
{
	ASN1_INTEGER *i = d2i_ASN1_INTEGER(NULL, &d->p, d->end - d->p);
	BIGNUM *theirs = i ? ASN1_INTEGER_to_BN(i, NULL) : NULL, *ours = NULL;
	bool same = theirs && EVP_PKEY_get_bn_param(key, param, &ours) == 1 && BN_cmp(theirs, ours) == 0;

	ASN1_INTEGER_free(i);
	BN_free(theirs);
	BN_free(ours);
	return same;
}

/* NID_undef: none, or unknown. */
static int object_of(struct der *d)
{
	struct der oid;
	ASN1_OBJECT *o;
	int nid;

	if (!take(d, V_ASN1_OBJECT, V_ASN1_UNIVERSAL, true, &oid))
		return NID_undef;
	o = d2i_ASN1_OBJECT(NULL, &oid.p, oid.end - oid.p);
	nid = o ? OBJ_obj2nid(o) : NID_undef;
	ASN1_OBJECT_free(o);
	return nid;
}

static bool same_point(const EVP_PKEY *key, struct der curve, struct der point)
{
	int nid = object_of(&curve);
	unsigned char ours[256];
	char group[64];
	size_t n;

	return nid != NID_undef && curve.p == curve.end && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
	       OBJ_txt2nid(group) == nid &&
	       EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, ours, sizeof(ours), &n) == 1 &&
	       n == (size_t)(point.end - point.p) && memcmp(ours, point.p, n) == 0;
}

/* Is this the public half of the key? Only an RSA or EC key that surely matches is one. */
static bool same_key(struct der spki, const EVP_PKEY *key)
{
	struct der algorithm, bits, numbers;
	int nid;

	if (!seq(&spki, false, &algorithm) || !bit_string(&spki, &bits) || spki.p != spki.end ||
	    bits.p[-1] != 0)
		return false;
	nid = object_of(&algorithm);
	if (nid != EVP_PKEY_get_base_id(key))
		return false;
	if (nid == EVP_PKEY_EC)
		return same_point(key, algorithm, bits);
	return nid == EVP_PKEY_RSA && algorithm.end - algorithm.p == 2 &&
	       memcmp(algorithm.p, "\x05\x00", 2) == 0 && seq(&bits, false, &numbers) && bits.p == bits.end &&
	       same_number(key, OSSL_PKEY_PARAM_RSA_N, &numbers) &&
	       same_number(key, OSSL_PKEY_PARAM_RSA_E, &numbers) && numbers.p == numbers.end;
}

static int kind_of(struct der spki)
{
	struct der algorithm;

	return seq(&spki, false, &algorithm) ? object_of(&algorithm) : NID_undef;
}

/* The certificate --------------------------------------------------------------------------- */

static bool integer_ok(struct der *d)
{
	ASN1_INTEGER *i = d2i_ASN1_INTEGER(NULL, &d->p, d->end - d->p);

	ASN1_INTEGER_free(i);
	return i != NULL;
}

/* A v3 certificate, up to its extensions; d: the content of tbsCertificate. */
static bool scan_tbs(struct der d, const EVP_PKEY *key, struct tls_leaf *leaf)
{
	struct der version, algorithm, issuer, validity, subject, spki, wrap;
	X509_NAME *name;

	if (!take(&d, 0, V_ASN1_CONTEXT_SPECIFIC, false, &version) || !integer_ok(&version) ||
	    version.p != version.end || !integer_ok(&d) || !seq(&d, true, &algorithm) || !algorithm_ok(algorithm) || !seq(&d, true, &issuer) || !seq(&d, false, &validity) ||
	    !seq(&d, true, &subject) || !seq(&d, false, &spki) ||
	    !take(&d, 3, V_ASN1_CONTEXT_SPECIFIC, false, &wrap) || d.p != d.end)
		return false;
	name = name_of(issuer);
	X509_NAME_free(name);
	leaf->subject = name ? name_of(subject) : NULL;
	leaf->kind = kind_of(spki);
	return leaf->subject && times(validity, leaf) &&
	       (key ? same_key(spki, key) : leaf->kind == EVP_PKEY_RSA || leaf->kind == EVP_PKEY_EC) &&
	       extensions(wrap, leaf);
}

bool tls_leaf_scan(const uint8_t *der, size_t n, const EVP_PKEY *key, struct tls_leaf *leaf)
{
	struct der all = { der, der + n }, cert, tbs, algorithm, signature;
	bool ok;

	memset(leaf, 0, sizeof(*leaf));
	ok = seq(&all, false, &cert) && all.p == all.end && seq(&cert, false, &tbs) &&
	     seq(&cert, true, &algorithm) && algorithm_ok(algorithm) &&
	     bit_string(&cert, &signature) && cert.p == cert.end && scan_tbs(tbs, key, leaf);
	if (!ok)
		tls_leaf_drop(leaf);
	ERR_clear_error();
	return ok;
}

bool tls_leaf_read(X509 *x, struct tls_leaf *leaf)
{
	const EVP_PKEY *key = X509_get0_pubkey(x);

	*leaf = (struct tls_leaf){
		.subject = X509_NAME_dup(X509_get_subject_name(x)),
		.san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL),
		.not_before_s = tls_wall_of(X509_get0_notBefore(x)),
		.not_after_s = tls_wall_of(X509_get0_notAfter(x)),
		.kind = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE,
	};
	ERR_clear_error();
	return leaf->subject;
}

void tls_leaf_drop(struct tls_leaf *leaf)
{
	X509_NAME_free(leaf->subject);
	GENERAL_NAMES_free(leaf->san);
	memset(leaf, 0, sizeof(*leaf));
}
