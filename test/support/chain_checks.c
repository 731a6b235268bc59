/* SPDX-License-Identifier: MIT */
#include "chain_checks.h"

#include <string.h>

char chain_text[2 * MIB];

__attribute__((constructor)) static void chain_text_write(void)
{
	uint64_t random = 20250115;

	for (size_t i = 0; i < sizeof chain_text; i++)
		chain_text[i] = (char)next_random(&random);
}

void expect_part(const tierpool_chain *c, size_t offset, const char *wanted, size_t n)
{
	size_t needed = tierpool_chain_iovec(c, offset, NULL, 0), compared = 0;
	struct iovec iov[needed + 1];

	cr_assert_eq(tierpool_chain_iovec(c, offset, iov, needed + 1), needed);
	for (size_t i = 0; i < needed; i++) {
		size_t part = iov[i].iov_len < n - compared ? iov[i].iov_len : n - compared;

		cr_assert_gt(iov[i].iov_len, 0, "piece %zu of %zu is empty", i, needed);
		cr_assert_eq(memcmp(iov[i].iov_base, wanted + compared, part), 0,
			"piece %zu of %zu is not what was appended", i, needed);
		compared += part;
		offset += iov[i].iov_len;
	}
	cr_assert_eq(compared, n, "%zu bytes, not %zu", compared, n);
	cr_assert_eq(offset, tierpool_chain_len(c), "the pieces do not end where the content does");
}

void expect_chain(const tierpool_chain *c, const char *wanted, size_t n)
{
	cr_assert_eq(tierpool_chain_len(c), n, "%zu bytes, not %zu", tierpool_chain_len(c), n);
	if (n)
		expect_part(c, 0, wanted, n);
}
