/* SPDX-License-Identifier: MIT */
/* needs: libcrypto */
/*
 * An OpenSSL BIO that writes into a borrowed buffer: whatever OpenSSL prints, encodes or encrypts can
 * go there. The buffer stays the caller's; to free the BIO does not put it.
 */
#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <tierpool.h>

#include "ways.h"

/* n bytes as PEM, below some lines of text. 0 or -errno. */
static int write_pem(BIO *bio, size_t n)
{
	const unsigned char *bytes = (const unsigned char *)ways_text();
	int good = BIO_printf(bio, "%zu bytes\n", n) > 0 && BIO_puts(bio, "follow:\n") > 0 &&
		   PEM_write_bio(bio, "TEXT", "", bytes, (long)n) > 0 && BIO_flush(bio) > 0;
	return good ? 0 : -EIO;
}

/* ---- OpenSSL: its own way ---- */

static int bio_own(size_t n)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	int error = bio ? write_pem(bio, n) : -ENOMEM;
	if (!error) {
		long length = BIO_get_mem_data(bio, &text);
		ways_output(text, (size_t)length);
	}
	BIO_free(bio);
	return error;
}

/* ---- OpenSSL: with tierpool ---- */

static BIO_METHOD *method;

static int buf_write(BIO *bio, const char *data, size_t n, size_t *written)
{
	int error = tierpool_buf_append(BIO_get_data(bio), data, n);
	*written = error ? 0 : n;
	return !error;
}

static int buf_puts(BIO *bio, const char *text)
{
	return tierpool_buf_append_str(BIO_get_data(bio), text) ? -1 : (int)strlen(text);
}

static long buf_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH; /* done: there is nothing behind it */
}

static int make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tierpool_buf");
	return method && BIO_meth_set_write_ex(method, buf_write) &&
	       BIO_meth_set_puts(method, buf_puts) && BIO_meth_set_ctrl(method, buf_ctrl);
}

static BIO *bio_of(tierpool_buf *b)
{
	BIO *bio = BIO_new(method);
	if (bio) {
		BIO_set_data(bio, b);
		BIO_set_init(bio, 1);
	}
	return bio;
}

static int bio_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	BIO *bio = bio_of(b);
	int error = bio ? write_pem(bio, n) : -ENOMEM;
	BIO_free(bio);
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"OpenSSL", bio_own, bio_with_pool, 500},
		{"OpenSSL", bio_own, bio_with_pool, 100000},
	};
	int status = make_method() ? ways_main(argc, argv, ways, sizeof ways / sizeof *ways) : 1;
	BIO_meth_free(method);
	return status;
}
