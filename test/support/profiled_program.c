/* SPDX-License-Identifier: MIT */
#include "profiled_program.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

const char *file_text(const char *name)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "r");
	size_t length;

	if (!file)
		return NULL;
	length = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[length] = '\0';
	return text;
}

bool file_exists(const char *name)
{
	return !access(name, F_OK);
}

unsigned files(void)
{
	DIR *folder = opendir(".");
	unsigned count = 0;

	for (struct dirent *entry; folder && (entry = readdir(folder));)
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (folder)
		closedir(folder);
	return count;
}

unsigned occurrences(const char *text, const char *what)
{
	unsigned count = 0;

	while (text && (text = strstr(text, what))) {
		text += strlen(what);
		count++;
	}
	return count;
}

tierpool_buf *borrow(tierpool *pool, tierpool_site *site)
{
	tierpool_buf *b = tierpool_get_at(pool, 1000, site);

	NEED(b && !tierpool_buf_append_str(b, "some text"));
	return b;
}

void borrow_and_put(tierpool *pool, tierpool_site *site)
{
	tierpool_put(borrow(pool, site));
}
