/* SPDX-License-Identifier: MIT */
/*
 * What growth costs, by which sites learn their sizes and the profile ranks them. The unit is the price
 * of lending one byte more, 1/160 ns: so 16 is 0.1 ns, 12,800 is 80 ns. DESIGN.md, "Sizes that learn".
 */
#ifndef TP_PRICE_H
#define TP_PRICE_H

#define TP_PRICES_PER_NS 160
#define TP_PRICE_COPY 16
#define TP_PRICE_GROWTH 12800

#endif
