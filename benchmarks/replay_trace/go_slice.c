/* SPDX-License-Identifier: MIT */
/*
 * Go's slices: go_slice.h. The numbers are of the runtime of Go 1.20 to 1.25: sizeclasses.go, and
 * slice.go of append.
 */
#include "go_slice.h"

#define CLASSES (sizeof classes / sizeof *classes)
#define PAGE ((size_t)8192)
#define DOUBLED ((size_t)256) /* below it append doubles, and above grows by a quarter and more */

static const unsigned short classes[] = {8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176,
	192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896,
	1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376,
	6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
	19072, 20480, 21760, 24576, 27264, 28672, 32768};

size_t go_slice_size(size_t n)
{
	if (!n || n > classes[CLASSES - 1])
		return (n + PAGE - 1) / PAGE * PAGE;
	for (size_t i = 0;; i++)
		if (classes[i] >= n)
			return classes[i];
}

size_t go_slice_grown(size_t cap, size_t need)
{
	size_t n = cap;

	if (need > 2 * cap)
		return go_slice_size(need);
	if (cap < DOUBLED)
		return go_slice_size(2 * cap);
	while (n < need)
		n += (n + 3 * DOUBLED) / 4;
	return go_slice_size(n);
}
