/* SPDX-License-Identifier: MIT */
/* The version the library was built as. */
#include <tierpool/version.h>

const char *tierpool_version(void)
{
	return TIERPOOL_VERSION;
}

int tierpool_version_number(void)
{
	return TIERPOOL_VERSION_NUMBER;
}
