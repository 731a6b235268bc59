/* SPDX-License-Identifier: MIT */
/* The version that the library was built as; a program's headers have that of its own build. */
#include <tierpool/version.h>

const char *tierpool_version(void)
{
	return TIERPOOL_VERSION;
}

int tierpool_version_number(void)
{
	return TIERPOOL_VERSION_NUMBER;
}
