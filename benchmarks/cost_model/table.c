/* SPDX-License-Identifier: MIT */
/*
 * The rows of cost_model: table.h.
 */
#include "table.h"

#include <stdio.h>

void table_head_print(void)
{
	printf("\n%-50s %10s %5s %10s %8s\n", "ns (lower quartile), how much longer the median is",
		"measured", "", "model", "ratio");
}

static int table_decimals(double ns)
{
	return ns < 1 ? 3 : 1;
}

void table_row_print(const char *constant, double measured, double spread, double counted)
{
	printf("%-50s %10.*f %4.0f%%", constant, table_decimals(measured), measured, spread);
	if (counted > 0)
		printf(" %10.*f %8.2f", table_decimals(counted), counted, measured / counted);
	putchar('\n');
}

void table_side_print(
	const char *constant, struct turns *t, unsigned side, int below, double counted)
{
	double beyond = below < 0 ? 0 : turns_quiet(t, (unsigned)below);

	table_row_print(constant, turns_quiet(t, side) - beyond, turns_spread(t, side), counted);
}
