/* SPDX-License-Identifier: MIT */
/*
 * What the advisor says of each pool, for people: a sentence, and the curve, without rows that say what
 * the row before says.
 */
#include "profile/write.h"

#include "profile/figures.h"

/* A bound may stay as it is if it is less than this much above what is enough. */
#define LARGE_BY 1.25

#define CURVE (TP_SNAPSHOT_BOUNDS - 1)

static struct tp_figure advice_text_percent(double share)
{
	return tp_figure_percent(share, 1);
}

/* The curve at a bound between two of its own. */
static struct tp_advised advice_text_at(const struct tp_snapshot_advice *a, size_t retain)
{
	struct tp_advised at = a->curve[0];
	unsigned k = 0;

	while (k < CURVE && a->curve[k].retain < retain)
		at = a->curve[k++];
	if (k && k < CURVE) {
		const struct tp_advised *from = &a->curve[k - 1], *to = &a->curve[k];
		double part = (double)(retain - from->retain) / (double)(to->retain - from->retain);

		at.share += part * (to->share - from->share);
		at.low += part * (to->low - from->low);
		at.high += part * (to->high - from->high);
	}
	at.retain = retain;
	return at;
}

static const char *advice_text_verdict(
	const struct tp_advised *now, const struct tp_advised *enough)
{
	if (now->retain < enough->retain && now->share < enough->share)
		return "and could be higher";
	if ((double)now->retain > LARGE_BY * (double)enough->retain)
		return "and could be lower";
	return "and fits";
}

static int advice_text_enough(
	char *to, size_t size, const struct tp_snapshot_advice *a, const struct tp_advised *enough)
{
	const char *most = enough->retain == a->curve[0].retain ? "at most " : "";
	struct tp_figure target = advice_text_percent(TP_SNAPSHOT_ENOUGH);
	struct tp_figure bytes = tp_figure_size((double)enough->retain);
	struct tp_figure low = advice_text_percent(enough->low);
	struct tp_figure high = advice_text_percent(enough->high);

	if (a->enough_known)
		return snprintf(to, size,
			"%s%s would serve %s of gets without a new block (%s to %s); ", most,
			bytes.text, target.text, low.text, high.text);
	return snprintf(to, size,
		"no bound serves %s of gets; %s%s would serve %s (%s to %s), as many as any; ",
		target.text, most, bytes.text, advice_text_percent(enough->share).text, low.text,
		high.text);
}

void tp_advice_sentence(char *to, size_t size, const struct tp_snapshot_advice *a)
{
	struct tp_advised enough = advice_text_at(a, a->enough);
	int n;

	if (a->windows < TP_ADVISOR_WINDOWS_LEAST) {
		snprintf(to, size, "not known yet: %u of %u windows seen", a->windows,
			TP_ADVISOR_WINDOWS_LEAST);
		return;
	}
	n = advice_text_enough(to, size, a, &enough);
	if (n < 0 || (size_t)n >= size)
		return;
	if (a->now.retain <= a->least)
		snprintf(to + n, size - (size_t)n, "it keeps nothing");
	else
		snprintf(to + n, size - (size_t)n, "its bound of %s serves %s (%s to %s), %s",
			tp_figure_size((double)a->now.retain).text,
			advice_text_percent(a->now.share).text,
			advice_text_percent(a->now.low).text, advice_text_percent(a->now.high).text,
			advice_text_verdict(&a->now, &enough));
}

/* ---- the curve ---- */

static void advice_text_row(FILE *out, const struct tp_advised *a, const char *mark)
{
	fprintf(out, "  %6s  %6s  %6s to %6s%s\n", tp_figure_bytes((double)a->retain).text,
		advice_text_percent(a->share).text, advice_text_percent(a->low).text,
		advice_text_percent(a->high).text, mark);
}

static bool advice_text_same(const struct tp_advised *a, const struct tp_advised *b)
{
	const double pairs[3][2] = {{a->share, b->share}, {a->low, b->low}, {a->high, b->high}};

	for (unsigned i = 0; i < 3; i++)
		if (tp_figure_round(1000 * pairs[i][0]) != tp_figure_round(1000 * pairs[i][1]))
			return false;
	return true;
}

static void advice_text_curve(FILE *out, const struct tp_snapshot_advice *a)
{
	const struct tp_advised *last = NULL;
	bool shown = false;

	fprintf(out, "  %6s  %6s  %s\n", "bound", "served", "interval");
	for (unsigned k = 0; k < CURVE; k++) {
		const struct tp_advised *row = &a->curve[k];

		if (!shown && a->now.retain <= row->retain) {
			advice_text_row(out, &a->now, "  its bound");
			shown = true;
		}
		if (a->now.retain != row->retain && !(last && advice_text_same(last, row))) {
			advice_text_row(out, row, "");
			last = row;
		}
	}
	if (!shown)
		advice_text_row(out, &a->now, "  its bound");
}

void tp_profile_write_advice(FILE *out, const struct tp_snapshot *snapshot)
{
	char name[1024], sentence[1024];

	if (snapshot->advices)
		fputs("\nHow many gets other bounds on idle bytes (retain) would serve without a "
		      "new block: estimates, with\nthe interval in which the truth nearly always "
		      "is.\n",
			out);
	for (size_t i = 0; i < snapshot->advices; i++) {
		const struct tp_snapshot_advice *a = &snapshot->advice[i];

		tp_figure_line(name, sizeof name, a->pool);
		tp_advice_sentence(sentence, sizeof sentence, a);
		fprintf(out, "\npool %s: %s\n", name, sentence);
		if (a->windows >= TP_ADVISOR_WINDOWS_LEAST)
			advice_text_curve(out, a);
	}
}
