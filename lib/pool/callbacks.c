/* SPDX-License-Identifier: MIT */
/*
 * Write callbacks in the shapes that C libraries want. Each is an append; the buffer has its errors.
 */
#include <tierpool/callbacks.h>

#include <stdint.h>

#include <tierpool/buffer.h>

int tierpool_write_cb(void *buf, const char *data, size_t n)
{
	return tierpool_buf_append(buf, data, n) ? -1 : 0;
}

void tierpool_write_cb_void(void *buf, const char *data, size_t n)
{
	tierpool_buf_append(buf, data, n);
}

int tierpool_write_cb_last(const char *data, size_t n, void *buf)
{
	return tierpool_write_cb(buf, data, n);
}

size_t tierpool_write_cb_curl(char *data, size_t size, size_t n, void *buf)
{
	size_t bytes;

	if (__builtin_mul_overflow(size, n, &bytes)) {
		/* There is never so much room, so the error sticks. */
		tierpool_buf_reserve(buf, SIZE_MAX);
		return 0;
	}
	return tierpool_buf_append(buf, data, bytes) ? 0 : bytes;
}
