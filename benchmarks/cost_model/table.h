/* SPDX-License-Identifier: MIT */
/*
 * The table of cost_model: a row for each constant.
 */
#ifndef TABLE_H
#define TABLE_H

#include "support/turns.h"

void table_head_print(void);

/*
 * measured: ns
 * spread:   in percent, how much longer the median is
 * counted:  ns that the model counts with; 0: it does not count this
 */
void table_row_print(const char *constant, double measured, double spread, double counted);

/* A row for what a side takes beyond another one; below -1: beyond nothing. */
void table_side_print(
	const char *constant, struct turns *t, unsigned side, int below, double counted);

#endif
