/* SPDX-License-Identifier: MIT */
/* needs: sqlite3 */
/*
 * Text that is made in a borrowed buffer and bound to a SQLite statement without a copy. SQLite calls
 * the destructor when it needs the text no more, with nothing but the pointer.
 */
#include <errno.h>

#include <sqlite3.h>
#include <tierpool.h>

#include "ways.h"

static sqlite3_stmt *store, *load;

/* Stores what is bound, reads it back. 0 or -errno. */
static int store_and_load(int bound)
{
	int good = bound == SQLITE_OK && sqlite3_step(store) == SQLITE_DONE;
	sqlite3_reset(store);
	sqlite3_clear_bindings(store); /* calls the destructor */
	good = good && sqlite3_step(load) == SQLITE_ROW;
	if (good)
		ways_output(sqlite3_column_text(load, 0), (size_t)sqlite3_column_bytes(load, 0));
	sqlite3_reset(load);
	return good ? 0 : -EIO;
}

/* ---- SQLite: its own way ---- */

static int bind_own(size_t n)
{
	sqlite3_str *text = sqlite3_str_new(NULL);
	for (size_t i = 0; i < n; i++)
		sqlite3_str_appendf(text, "%d: %.40s\n", (int)i, ways_text() + i * 61 % 1000000);
	int length = sqlite3_str_length(text);
	return store_and_load(
		sqlite3_bind_text(store, 1, sqlite3_str_finish(text), length, sqlite3_free));
}

/* ---- SQLite: with tierpool ---- */

static void put_bound(void *data)
{
	tierpool_put(tierpool_buf_of(data));
}

/* SQLite calls the destructor also if it refuses, so the buffer is gone in any case. */
static int bind_buf(sqlite3_stmt *statement, int parameter, tierpool_buf *b)
{
	return sqlite3_bind_text64(statement, parameter, b->data, b->len, put_bound, SQLITE_UTF8);
}

static int bind_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	for (size_t i = 0; i < n; i++) {
		tierpool_buf_append_u64(b, i);
		tierpool_buf_append_str(b, ": ");
		tierpool_buf_append(b, ways_text() + i * 61 % 1000000, 40);
		tierpool_buf_append_byte(b, '\n');
	}
	int error = tierpool_buf_error(b);
	if (error) {
		tierpool_put(b);
		return error;
	}
	return store_and_load(bind_buf(store, 1, b));
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"SQLite", bind_own, bind_with_pool, 5},
		{"SQLite", bind_own, bind_with_pool, 1000},
	};
	sqlite3 *db;
	if (sqlite3_open(":memory:", &db) || sqlite3_exec(db, "CREATE TABLE t(body)", 0, 0, 0) ||
		sqlite3_prepare_v2(db, "REPLACE INTO t(rowid, body) VALUES(1, ?)", -1, &store, 0) ||
		sqlite3_prepare_v2(db, "SELECT body FROM t", -1, &load, 0))
		return 1;
	int status = ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
	sqlite3_finalize(store);
	sqlite3_finalize(load);
	sqlite3_close(db);
	return status;
}
