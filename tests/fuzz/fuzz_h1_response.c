/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_h1_response.c - response heads; the first two bytes choose limits, the method and the cut */
#include "config.h"

#include "tests/fuzz/h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h1_limits small = { 60, 200, 80, 5 };
	struct h1_fuzz f = { .is_response = true, .method = HM_GET, .limits = h1_limits_default };

	if (size < 2)
		return 0;
	if (data[0] & 1)
		f.limits = small;
	if (data[0] & 2)
		f.method = HM_HEAD;
	fuzz_head(&f, data + 2, size - 2, data[1] % (size - 1));
	return 0;
}
