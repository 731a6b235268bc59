/* SPDX-License-Identifier: MIT */
/*
 * The profile as JSON (RFC 8259), for jq and programs: one object, with all that the text has.
 *
 *   version, begun_ns (since 1970), ns, samples, dropped, complete, sample_bytes
 *   sites    the dearest first; sum is an estimate if not complete; sizes in bytes, times in ns
 *   stacks   site is an index of sites; frames: the borrower's first
 *   pools    what the advisor says, with the keys of replay_trace --advise: estimates, each with its
 *            interval, low to high; enough: null if no bound is known that serves the target
 *
 * Numbers are integers, but for shares (0 to 1). What is no UTF-8 in a name becomes U+FFFD.
 */
#include "profile/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <tierpool/version.h>

#include "profile/figures.h"
#include "profile/hints.h"

static void json_write_string(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		size_t length = tp_figure_character(text);

		if (!length)
			fputs("\\ufffd", out);
		else if ((unsigned char)*text < ' ' || *text == '\x7f')
			fprintf(out, "\\u%04x", (unsigned)(unsigned char)*text);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fwrite(text, 1, length, out);
		text += length ? length : 1;
	}
	fputc('"', out);
}

static void json_write_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\"%s\":", name);
	json_write_string(out, text);
}

static void json_write_number(FILE *out, const char *name, double n)
{
	fprintf(out, ",\"%s\":%" PRId64, name, tp_figure_round(n));
}

static void json_write_estimate(FILE *out, const char *name, struct tp_estimate e)
{
	fprintf(out, ",\"%s\":{\"sum\":%" PRId64 ",\"standard_error\":%" PRId64 "}", name,
		tp_figure_round(e.sum), tp_figure_round(tp_figure_root(e.variance)));
}

static void json_write_quantiles(FILE *out, const char *name, struct tp_quantiles q)
{
	fprintf(out,
		",\"%s\":{\"p50\":%" PRId64 ",\"p95\":%" PRId64 ",\"p99\":%" PRId64
		",\"max\":%" PRId64 "}",
		name, tp_figure_round(q.p50), tp_figure_round(q.p95), tp_figure_round(q.p99),
		tp_figure_round(q.max));
}

static void json_write_served(FILE *out, const double served[TP_SERVED_WAYS])
{
	static const char *const way[TP_SERVED_WAYS] = {[TP_SERVED_CPU] = "cpu",
		[TP_SERVED_DEPOT] = "depot",
		[TP_SERVED_OTHER_CPU] = "other_cpu",
		[TP_SERVED_LARGER] = "larger",
		[TP_SERVED_NEW] = "new",
		[TP_SERVED_OVERSIZE] = "oversize"};

	fputs(",\"served\":{", out);
	for (unsigned i = 0; i < TP_SERVED_WAYS; i++)
		fprintf(out, "%s\"%s\":%" PRId64, i ? "," : "", way[i], tp_figure_round(served[i]));
	fputc('}', out);
}

static void json_write_hints(FILE *out, const struct tp_snapshot_site *s, bool exact)
{
	struct tp_hints hints;

	tp_hints_find(&hints, s, exact);
	fputs(",\"hints\":[", out);
	for (unsigned i = 0; i < hints.count; i++) {
		if (i)
			fputc(',', out);
		json_write_string(out, hints.text[i]);
	}
	fputc(']', out);
}

static void json_write_site(FILE *out, const struct tp_snapshot_site *s, double cost, bool exact)
{
	fprintf(out, "{\"pool_id\":%" PRIu64 ",\"line\":%u,\"samples\":%" PRIu64, s->pool_id,
		s->line, s->samples);
	json_write_text(out, "pool", s->pool);
	json_write_text(out, "file", s->file);
	json_write_text(out, "label", s->label);
	json_write_number(out, "cost_ns", cost);
	json_write_estimate(out, "gets", s->gets);
	json_write_estimate(out, "bytes", s->bytes);
	json_write_estimate(out, "misses", s->misses);
	json_write_served(out, s->served);
	json_write_estimate(out, "growths", s->growths);
	json_write_estimate(out, "regrown", s->regrown);
	json_write_estimate(out, "waste", s->waste);
	json_write_quantiles(out, "asked", s->asked);
	json_write_quantiles(out, "capacity", s->capacity);
	json_write_quantiles(out, "used", s->used);
	json_write_quantiles(out, "held_ns", s->held);
	json_write_estimate(out, "out", s->out);
	json_write_estimate(out, "out_bytes", s->out_bytes);
	json_write_number(out, "out_long", s->out_long);
	fprintf(out, ",\"oldest_ns\":%" PRIu64 ",\"unwinds\":%s", s->oldest_ns,
		s->unwinds ? "true" : "false");
	json_write_hints(out, s, exact);
	fputc('}', out);
}

static void json_write_frame(FILE *out, const struct tp_symbols *symbols, uintptr_t address)
{
	const struct tp_symbol *symbol = &symbols->symbol[tp_symbols_index(symbols, address)];

	fprintf(out, "{\"address\":\"0x%" PRIxPTR "\"", address);
	if (symbol->function != TP_SYMBOLS_NONE)
		json_write_text(out, "function", symbols->function[symbol->function]);
	if (symbol->mapping != TP_SYMBOLS_NONE) {
		const struct tp_mapping *m = &symbols->mapping[symbol->mapping];

		json_write_text(out, "file", m->file);
		fprintf(out, ",\"offset\":\"0x%" PRIx64 "\"", address - m->start + m->offset);
	}
	fputc('}', out);
}

/* position: of each site of the snapshot, where it stands in the list that was written. */
static void json_write_stack(FILE *out, const struct tp_symbols *symbols,
	const struct tp_snapshot_stack *s, const size_t *position)
{
	fprintf(out, "{\"site\":%zu,\"samples\":%" PRIu64, position[s->site], s->samples);
	json_write_number(out, "gets", s->gets);
	json_write_number(out, "bytes", s->bytes);
	json_write_number(out, "out", s->out);
	json_write_number(out, "out_bytes", s->out_bytes);
	json_write_number(out, "waste", s->waste);
	json_write_number(out, "regrown", s->regrown);
	fputs(",\"frames\":[", out);
	for (unsigned i = 0; i < s->depth; i++) {
		if (i)
			fputc(',', out);
		json_write_frame(out, symbols, s->frames[i]);
	}
	fputs("]}", out);
}

/* ---- pools ---- */

/* Without a locale's point. */
static void json_write_share(FILE *out, const char *name, double share)
{
	int64_t millionths = tp_figure_round(1e6 * share);

	fprintf(out, ",\"%s\":%" PRId64 ".%06" PRId64, name, millionths / 1000000,
		millionths % 1000000);
}

static void json_write_advised(FILE *out, const struct tp_advised *a)
{
	fprintf(out, "{\"retain\":%zu", a->retain);
	json_write_share(out, "share", a->share);
	json_write_share(out, "low", a->low);
	json_write_share(out, "high", a->high);
	fputc('}', out);
}

static void json_write_advice(FILE *out, const struct tp_snapshot_advice *a)
{
	bool known = a->enough_known && a->windows >= TP_ADVISOR_WINDOWS_LEAST;
	char sentence[1024];

	tp_advice_sentence(sentence, sizeof sentence, a);
	fprintf(out, "{\"pool_id\":%" PRIu64 ",\"gets\":%" PRIu64 ",\"windows\":%u", a->pool_id,
		a->gets, a->windows);
	json_write_text(out, "pool", a->pool);
	fputs(",\"curve\":[", out);
	for (unsigned k = 0; k + 1 < TP_SNAPSHOT_BOUNDS; k++) {
		fputs(k ? ",\n" : "\n", out);
		json_write_advised(out, &a->curve[k]);
	}
	fputs("],\n\"now\":", out);
	json_write_advised(out, &a->now);
	json_write_share(out, "target", TP_SNAPSHOT_ENOUGH);
	if (known)
		fprintf(out, ",\"enough\":%zu", a->enough);
	else
		fputs(",\"enough\":null", out);
	json_write_text(out, "advice", sentence);
	fputc('}', out);
}

static void json_write(FILE *out, const struct tp_snapshot *snapshot,
	const struct tp_symbols *symbols, const struct tp_hints_rank *rank, size_t *position)
{
	fprintf(out,
		"{\"version\":\"%s\",\"begun_ns\":%" PRIu64 ",\"ns\":%" PRIu64
		",\"samples\":%" PRIu64 ",\"dropped\":%" PRIu64
		",\"complete\":%s,\"sample_bytes\":%zu,\"sites\":[",
		TIERPOOL_VERSION, snapshot->begun_ns, snapshot->ns, snapshot->samples,
		snapshot->dropped, snapshot->complete ? "true" : "false", snapshot->sample_bytes);
	for (size_t i = 0; i < snapshot->sites; i++) {
		position[rank[i].site] = i;
		fputs(i ? ",\n" : "\n", out);
		json_write_site(
			out, &snapshot->site[rank[i].site], rank[i].cost, snapshot->complete);
	}
	fputs("],\"stacks\":[", out);
	for (size_t i = 0; i < snapshot->stacks; i++) {
		fputs(i ? ",\n" : "\n", out);
		json_write_stack(out, symbols, &snapshot->stack[i], position);
	}
	fputs("],\"pools\":[", out);
	for (size_t i = 0; i < snapshot->advices; i++) {
		fputs(i ? ",\n" : "\n", out);
		json_write_advice(out, &snapshot->advice[i]);
	}
	fputs("]}\n", out);
}

int tp_profile_write_json(FILE *out, const struct tp_snapshot *snapshot)
{
	struct tp_hints_rank *rank = tp_hints_order(snapshot);
	size_t *position = calloc(snapshot->sites + 1, sizeof *position);
	struct tp_symbols *symbols = NULL;
	int error = rank && position ? tp_profile_symbols(&symbols, snapshot) : -ENOMEM;

	if (!error) {
		json_write(out, snapshot, symbols, rank, position);
		error = ferror(out) ? -EIO : 0;
	}
	tp_symbols_free(symbols);
	free(position);
	free(rank);
	return error;
}
