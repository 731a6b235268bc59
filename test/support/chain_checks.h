/* SPDX-License-Identifier: MIT */
/*
 * For tests of chains: a text, and whether a chain holds it.
 */
#ifndef CHAIN_CHECKS_H
#define CHAIN_CHECKS_H

#include <tierpool/chain.h>

#include "pool_checks.h"

/* At random. */
extern char chain_text[2 * MIB];

/* The chain has these n bytes from offset to its end or beyond, in pieces that agree with each other. */
void expect_part(const tierpool_chain *c, size_t offset, const char *wanted, size_t n);

/* The content of the chain is these n bytes. */
void expect_chain(const tierpool_chain *c, const char *wanted, size_t n);

#endif
