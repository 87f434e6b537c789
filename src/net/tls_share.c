/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_share.c - what is checked of a peer's key share (see tls.h: tls_share_init)
 *
 * libssl gives each share to EVP_PKEY_derive_set_peer(). OpenSSL 3 multiplies the point by the group's order there, which
 * is a seventh of a whole handshake with P-256. TLS asks for less (RFC 8446 section 4.2.8.2): not infinity, coordinates in range,
 * on the curve; as these curves have cofactor 1, such a point is in the group. That is what is done here, by a function of the
 * same name: the program's comes before the library's. Other kinds of keys go the library's way, as all do before tls_share_init().
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <string.h>

#define UNCOMPRESSED 0x04
#define POINT_MAX    133          /* of P-521 */

static struct {
	const char *name;
	int         nid;
	size_t      bytes;        /* of a point, uncompressed */
	EC_GROUP   *group;
	EC_POINT   *point;
} curves[] = {
	{ .name = SN_X9_62_prime256v1, .nid = NID_X9_62_prime256v1, .bytes = 65 },
	{ .name = SN_secp384r1, .nid = NID_secp384r1, .bytes = 97 },
	{ .name = SN_secp521r1, .nid = NID_secp521r1, .bytes = POINT_MAX },
};
static BN_CTX *numbers;
static uint64_t n_quick;

void tls_share_init(void)
{
	if (!numbers)
		numbers = BN_CTX_new();
	for (size_t i = 0; i < FL_ARRAY_LEN(curves); i++) {
		if (!curves[i].group)
			curves[i].group = EC_GROUP_new_by_curve_name(curves[i].nid);
		if (curves[i].group && !curves[i].point)
			curves[i].point = EC_POINT_new(curves[i].group);
	}
}

uint64_t tls_share_quick(void)
{
	return n_quick;
}

/* -1: not one of these curves. */
static int curve_of(EVP_PKEY *key)
{
	char name[32];
	size_t n;

	if (!numbers || !EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, name, sizeof(name), &n) != 1)
		return -1;
	for (size_t i = 0; i < FL_ARRAY_LEN(curves); i++)
		if (curves[i].point && strcmp(name, curves[i].name) == 0)
			return (int)i;
	return -1;
}

/* As TLS 1.3 sends them. EC_POINT_oct2point() refuses coordinates that are out of range and points off the curve;
 * infinity has another length. */
static bool is_point(int c, EVP_PKEY *key)
{
	unsigned char point[POINT_MAX];
	size_t n;

	return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) == 1 &&
	       n == curves[c].bytes && point[0] == UNCOMPRESSED &&
	       EC_POINT_oct2point(curves[c].group, curves[c].point, point, n, numbers) == 1;
}

/* Called by libssl. What is not plainly good is the library's to judge. */
int EVP_PKEY_derive_set_peer(EVP_PKEY_CTX *ctx, EVP_PKEY *peer)
{
	int c = curve_of(peer);
	bool good = c >= 0 && is_point(c, peer);

	n_quick += good;
	return EVP_PKEY_derive_set_peer_ex(ctx, peer, !good);
}
