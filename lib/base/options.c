/* SPDX-License-Identifier: MIT */
#include "base/options.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"

int tp_options_copy(void *to, size_t known, const void *from)
{
	size_t size;

	memcpy(&size, from, sizeof size);
	if (size < sizeof size)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (((const unsigned char *)from)[i])
			return -E2BIG;
	memcpy(to, from, tp_min(size, known));
	return 0;
}
