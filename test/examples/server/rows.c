/* SPDX-License-Identifier: MIT */
/*
 * What is in a database: /row/N. The connections to it, each with its prepared statement, are an APR reslist:
 * at most half as many idle as there are workers, at most one open for each worker, and one that was idle
 * for longer than LIFE is closed. A worker that gets none waits for a second.
 */
#include <apr_general.h>
#include <apr_reslist.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "server.h"

enum { ROWS = 1000, SECOND = 1000000 /* APR counts in microseconds */, LIFE = 30 * SECOND };

struct row_reader {
	sqlite3 *database;
	sqlite3_stmt *select;
};

static apr_pool_t *memory;
static apr_reslist_t *readers;

static unsigned rows_answer(sqlite3_stmt *select, struct answer *a)
{
	int code = sqlite3_step(select);
	if (code == SQLITE_DONE)
		return HTTP_STATUS_NOT_FOUND;
	const char *name = (const char *)sqlite3_column_text(select, 1);
	if (code != SQLITE_ROW || !name)
		return HTTP_STATUS_INTERNAL_SERVER_ERROR;
	struct json *j = json_begin(a->out);
	json_open_map(j);
	json_key(j, "number");
	json_number(j, sqlite3_column_int64(select, 0));
	json_key(j, "name");
	json_text(j, name);
	json_close_map(j);
	return json_end(j);
}

unsigned rows_get(const struct request *r, const char *argument, struct answer *a)
{
	void *resource;
	char *end;
	long n = strtol(argument, &end, 10);
	(void)r;
	if (end == argument || *end)
		return HTTP_STATUS_BAD_REQUEST;
	if (apr_reslist_acquire(readers, &resource) != APR_SUCCESS)
		return HTTP_STATUS_SERVICE_UNAVAILABLE;
	struct row_reader *reader = resource;
	sqlite3_bind_int64(reader->select, 1, n);
	unsigned status = rows_answer(reader->select, a);
	bool good = sqlite3_reset(reader->select) == SQLITE_OK;
	if (good)
		apr_reslist_release(readers, reader);
	else
		apr_reslist_invalidate(readers, reader);
	return status;
}

/* ---- connections ---- */

static apr_status_t rows_close(void *resource, void *unused, apr_pool_t *unused_pool)
{
	struct row_reader *reader = resource;
	(void)unused;
	(void)unused_pool;
	sqlite3_finalize(reader->select);
	sqlite3_close(reader->database);
	free(reader);
	return APR_SUCCESS;
}

static apr_status_t rows_open(void **resource, void *unused, apr_pool_t *unused_pool)
{
	struct row_reader *reader = calloc(1, sizeof *reader);
	if (!reader)
		return APR_ENOMEM;
	if (sqlite3_open_v2(settings.database, &reader->database,
		    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
		sqlite3_prepare_v2(reader->database,
			"SELECT number, name FROM rows WHERE number = ?", -1, &reader->select,
			NULL) != SQLITE_OK) {
		rows_close(reader, unused, unused_pool);
		return APR_EGENERAL;
	}
	count(ROW_CONNECTS, 1);
	*resource = reader;
	return APR_SUCCESS;
}

static void rows_fill(void)
{
	char fill[300];
	sqlite3 *database;
	snprintf(fill, sizeof fill,
		"CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, name TEXT);"
		"INSERT OR IGNORE INTO rows WITH RECURSIVE n(i) AS "
		"(SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		"SELECT i, 'row ' || i FROM n",
		ROWS - 1);
	if (sqlite3_open(settings.database, &database) != SQLITE_OK ||
		sqlite3_exec(database, fill, NULL, NULL, NULL) != SQLITE_OK)
		fail(settings.database, sqlite3_errmsg(database));
	sqlite3_close(database);
}

void rows_start(void)
{
	int open = (int)settings.workers, idle = (open + 1) / 2;
	rows_fill();
	if (apr_initialize() != APR_SUCCESS || apr_pool_create(&memory, NULL) != APR_SUCCESS ||
		apr_reslist_create(&readers, 1, idle, open, LIFE, rows_open, rows_close, NULL,
			memory) != APR_SUCCESS)
		fail(settings.database, "no list of connections");
	apr_reslist_timeout_set(readers, SECOND);
}

void rows_stop(void)
{
	apr_reslist_destroy(readers);
	apr_terminate();
}
