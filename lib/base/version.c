/* SPDX-License-Identifier: MIT */
/* The version the library was built as. Layer 0. */
#include <tierpool/version.h>

const char *tierpool_version(void)
{
	return TIERPOOL_VERSION;
}
