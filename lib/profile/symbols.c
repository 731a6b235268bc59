/* SPDX-License-Identifier: MIT */
#include "profile/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_NAME 4096 /* bytes of a name; the rest of a longer one is left out */

static const char deleted[] = " (deleted)";

/* ---- a file as text ---- */

/* With a NUL behind it; the caller frees it. NULL: it cannot be read, errno says why. */
static char *symbols_read(const char *path)
{
	size_t size = 0, n = 0;
	int file = open(path, O_RDONLY | O_CLOEXEC), error;
	char *text = NULL, *larger = NULL;
	ssize_t got = -1;

	if (file < 0)
		return NULL;
	do {
		if (n + 1 >= size) {
			size = size * 2 + (1 << 16);
			larger = realloc(text, size);
			if (!larger)
				break;
			text = larger;
		}
		got = read(file, text + n, size - 1 - n);
		if (got > 0)
			n += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	error = larger ? errno : ENOMEM;
	close(file);
	if (got == 0 && larger) {
		text[n] = '\0';
		return text;
	}
	free(text);
	errno = error;
	return NULL;
}

/* ---- mappings ---- */

/* "\012" stands for a newline, and for nothing else. */
static void symbols_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++)
		if (strncmp(from, "\\012", 4) == 0)
			*to = '\n', from += 4;
		else
			*to = *from++;
	*to = '\0';
}

/* Hexadecimal digits at *at, and one character behind them. */
static bool symbols_hex(char **at, char behind, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(*at, &end, 16);
	if (end == *at || *end != behind || errno)
		return false;
	*at = end + 1;
	return true;
}

/* "start-limit rwxp offset device inode   path". False: no such line, or not executable. */
static bool symbols_parse(char *line, struct tp_mapping *m)
{
	uint64_t start, limit;
	char *rights;

	*m = (struct tp_mapping){0};
	if (!symbols_hex(&line, '-', &start) || !symbols_hex(&line, ' ', &limit))
		return false;
	rights = line;
	line += strcspn(line, " ");
	if (line - rights != 4 || rights[2] != 'x' || *line++ != ' ')
		return false;
	if (!symbols_hex(&line, ' ', &m->offset) || start >= limit || limit > UINTPTR_MAX)
		return false;
	m->start = (uintptr_t)start;
	m->limit = (uintptr_t)limit;
	for (unsigned field = 0; field < 2; field++) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	m->file = strdup(line);
	if (m->file)
		symbols_unescape(m->file);
	return true;
}

static int symbols_add(struct tp_symbols *s, const struct tp_mapping *m)
{
	struct tp_mapping *larger;

	if (s->mappings % 64 == 0) {
		larger = realloc(s->mapping, (s->mappings + 64) * sizeof *larger);
		if (!larger)
			return -ENOMEM;
		s->mapping = larger;
	}
	s->mapping[s->mappings++] = *m;
	return 0;
}

/* Mappings come in the order of their addresses; one that overlaps the last is not the kernel's. */
static int symbols_map(struct tp_symbols *s, char *text)
{
	char *rest = text, *line;
	int error = 0;

	while (!error && (line = strsep(&rest, "\n"))) {
		struct tp_mapping m;

		if (!symbols_parse(line, &m))
			continue;
		if (m.file && s->mappings && s->mapping[s->mappings - 1].limit > m.start) {
			free(m.file);
			continue;
		}
		error = m.file ? symbols_add(s, &m) : -ENOMEM;
		if (error)
			free(m.file);
	}
	return error;
}

/* ---- addresses ---- */

static int symbols_compare(const void *a, const void *b)
{
	uintptr_t left = ((const struct tp_symbol *)a)->address;
	uintptr_t right = ((const struct tp_symbol *)b)->address;

	return left < right ? -1 : left > right;
}

static int symbols_collect(struct tp_symbols *s, const uintptr_t *address, size_t n)
{
	size_t kept = 0, mapping = 0;

	s->symbol = calloc(n ? n : 1, sizeof *s->symbol);
	s->function = calloc(n ? n : 1, sizeof *s->function);
	if (!s->symbol || !s->function)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		s->symbol[i] = (struct tp_symbol){address[i], TP_SYMBOLS_NONE, TP_SYMBOLS_NONE};
	qsort(s->symbol, n, sizeof *s->symbol, symbols_compare);
	for (size_t i = 0; i < n; i++)
		if (!i || s->symbol[i].address != s->symbol[kept - 1].address)
			s->symbol[kept++] = s->symbol[i];
	s->symbols = kept;
	for (size_t i = 0; i < kept; i++) {
		while (mapping < s->mappings && s->mapping[mapping].limit <= s->symbol[i].address)
			mapping++;
		if (mapping < s->mappings && s->mapping[mapping].start <= s->symbol[i].address) {
			s->symbol[i].mapping = mapping;
			s->mapping[mapping].used = true;
		}
	}
	return 0;
}

size_t tp_symbols_index(const struct tp_symbols *symbols, uintptr_t address)
{
	const struct tp_symbol key = {.address = address};
	const struct tp_symbol *found =
		bsearch(&key, symbols->symbol, symbols->symbols, sizeof key, symbols_compare);

	return found ? (size_t)(found - symbols->symbol) : TP_SYMBOLS_NONE;
}

/* ---- names ---- */

static bool symbols_is_deleted(const char *file)
{
	size_t length = strlen(file), end = sizeof deleted - 1;

	return length > end && strcmp(file + length - end, deleted) == 0;
}

/* The program's own file, whatever became of its name. */
static bool symbols_is_program(const char *file)
{
	char path[PATH_MAX + sizeof deleted];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n < 0)
		return false;
	path[n] = '\0';
	return strcmp(path, file) == 0;
}

static int symbols_open(struct tp_elf *elf, const struct tp_mapping *m)
{
	if (strcmp(m->file, "[vdso]") == 0)
		return tp_elf_open_memory(elf, (const void *)m->start, m->limit - m->start);
	if (m->file[0] != '/')
		return -ENOENT;
	if (symbols_is_program(m->file))
		return tp_elf_open(elf, "/proc/self/exe");
	return symbols_is_deleted(m->file) ? -ENOENT : tp_elf_open(elf, m->file);
}

/* Adjacent addresses of one function have one name. */
static int symbols_name(struct tp_symbols *s, const struct tp_elf *elf, struct tp_symbol *symbol,
	const struct tp_elf_function *f, size_t n)
{
	char name[MOST_NAME];

	for (size_t i = 0; i < n; i++) {
		if (i && f[i].name == f[i - 1].name) {
			symbol[i].function = symbol[i - 1].function;
			continue;
		}
		if (f[i].name)
			tp_elf_name(elf, f[i].name, name, sizeof name);
		if (!f[i].name || !*name)
			continue;
		s->function[s->functions] = strdup(name);
		if (!s->function[s->functions])
			return -ENOMEM;
		symbol[i].function = s->functions++;
	}
	return 0;
}

static int symbols_name_mapping(
	struct tp_symbols *s, const struct tp_elf *elf, struct tp_mapping *m)
{
	size_t first = 0, n = 0;
	uint64_t bias = tp_elf_bias(elf, m->offset);
	struct tp_elf_function *f;
	int error;

	while (first < s->symbols && s->symbol[first].address < m->start)
		first++;
	while (first + n < s->symbols && s->symbol[first + n].address < m->limit)
		n++;
	f = calloc(n + 1, sizeof *f);
	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		f[i].address = s->symbol[first + i].address - m->start + m->offset + bias;
	tp_elf_find(elf, f, n);
	error = symbols_name(s, elf, &s->symbol[first], f, n);
	m->named = true;
	for (size_t i = first; i < first + n; i++)
		m->named = m->named && s->symbol[i].function != TP_SYMBOLS_NONE;
	free(f);
	return error;
}

int tp_symbols_find(struct tp_symbols **out, const char *maps, const uintptr_t *address, size_t n)
{
	struct tp_symbols *s = calloc(1, sizeof *s);
	char *text = s ? symbols_read(maps) : NULL;
	int error = s && (text || errno != ENOMEM) ? 0 : -ENOMEM;

	*out = NULL;
	if (!error && text)
		error = symbols_map(s, text);
	free(text);
	if (!error)
		error = symbols_collect(s, address, n);
	for (size_t i = 0; !error && i < s->mappings; i++) {
		struct tp_mapping *m = &s->mapping[i];
		struct tp_elf elf;

		if (symbols_open(&elf, m))
			continue;
		tp_elf_build_id(&elf, m->build_id);
		if (m->used)
			error = symbols_name_mapping(s, &elf, m);
		tp_elf_close(&elf);
	}
	if (error)
		tp_symbols_free(s);
	else
		*out = s;
	return error;
}

void tp_symbols_free(struct tp_symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->mappings; i++)
		free(s->mapping[i].file);
	for (size_t i = 0; i < s->functions; i++)
		free(s->function[i]);
	free(s->mapping);
	free(s->symbol);
	free(s->function);
	free(s);
}
