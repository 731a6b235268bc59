/* SPDX-License-Identifier: MIT */
/*
 * Write callbacks, in the shapes in which C libraries want them: a library that writes through a
 * function and a user pointer is given one of these, and the tierpool_buf * as the user pointer.
 *
 *   msgpack    msgpack_packer_init(&packer, b, tierpool_write_cb)
 *   yajl       yajl_gen_config(gen, yajl_gen_print_callback, tierpool_write_cb_void, b)
 *   jansson    json_dump_callback(json, tierpool_write_cb_last, b, flags)
 *   libcurl    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, tierpool_write_cb_curl),
 *              curl_easy_setopt(curl, CURLOPT_WRITEDATA, b)
 *
 * Take a new yajl_gen for each buffer: yajl_gen_config a second time makes yajl free the tierpool_buf, which
 * is not its own, and crash.
 *
 * Check which result the library expects: some expect another one from a function of the same type.
 * ERR_print_errors_cb of OpenSSL goes on after a positive result only; xmlOutputWriteCallback of libxml2
 * and yaml_write_handler_t have other types.
 *
 * Each of them is tierpool_buf_append: the error sticks to the buffer, so tierpool_buf_error tells it
 * afterwards, and why. A NULL buffer, which is what a failed get returns, is a failure too. If a
 * library has no user pointer, these cannot be used.
 */
#ifndef TIERPOOL_CALLBACKS_H
#define TIERPOOL_CALLBACKS_H

#include <stddef.h>

#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Appends n bytes of data to the tierpool_buf at buf.
 *
 * Returns: 0, or -1: tierpool_buf_error says why.
 */
TIERPOOL_API int tierpool_write_cb(void *buf, const char *data, size_t n);

/* The same, for libraries that do not ask whether it went well: ask tierpool_buf_error afterwards. */
TIERPOOL_API void tierpool_write_cb_void(void *buf, const char *data, size_t n);

/* As tierpool_write_cb, with the program's pointer last. */
TIERPOOL_API int tierpool_write_cb_last(const char *data, size_t n, void *buf);

/*
 * The same, with the arguments of fwrite: n items of size bytes each. Unlike fwrite it returns bytes.
 *
 * Errors:  those of tierpool_buf_append, and -ENOMEM if size * n overflows; they stick.
 * Returns: size * n; 0 on failure. libcurl then ends the transfer with CURLE_WRITE_ERROR.
 */
TIERPOOL_API size_t tierpool_write_cb_curl(char *data, size_t size, size_t n, void *buf);

#ifdef __cplusplus
}
#endif

#endif
