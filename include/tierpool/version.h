/* SPDX-License-Identifier: MIT */
/*
 * The version of the interface that a program is compiled against, and the macros that the other
 * headers share.
 */
#ifndef TIERPOOL_VERSION_H
#define TIERPOOL_VERSION_H

#define TIERPOOL_VERSION_MAJOR 0
#define TIERPOOL_VERSION_MINOR 1
#define TIERPOOL_VERSION_PATCH 0
#define TIERPOOL_VERSION "0.1.0"

#define TIERPOOL_API __attribute__((__visibility__("default")))
#define TIERPOOL_PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the library that the program runs with, as TIERPOOL_VERSION writes it: a string
 * that lives as long as the process. Any thread.
 */
TIERPOOL_API const char *tierpool_version(void);

#ifdef __cplusplus
}
#endif

#endif
