/* SPDX-License-Identifier: MIT */
/*
 * Writes what lies in memory to a descriptor: the loop that a buffer and a chain have in common.
 */
#ifndef TP_WRITE_OUT_H
#define TP_WRITE_OUT_H

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

/* One write(2) or writev(2) of the content from offset on. */
typedef ssize_t tp_write_some(const void *content, int fd, size_t offset);

/*
 * Writes from *offset (NULL: 0) to len, and moves *offset. error: what the content has already, or 0.
 * Returns: as tierpool_buf_write_fd_from.
 */
static inline ssize_t tp_write_out(
	const void *content, int fd, size_t *offset, size_t len, int error, tp_write_some *some)
{
	size_t from_start = 0, total = 0;

	if (!offset)
		offset = &from_start;
	if (!error && *offset > len)
		error = -EINVAL;
	while (!error && *offset < len) {
		ssize_t n = some(content, fd, *offset);

		if (n > 0) {
			/* At once: the next write may be where the thread ends. */
			*offset += (size_t)n;
			total += (size_t)n;
		} else if (n == 0) {
			error = -EIO; /* that is for 0 bytes only; never loop on it */
		} else if (errno != EINTR) {
			error = -errno;
		}
	}
	return total ? (ssize_t)total : error;
}

#endif
