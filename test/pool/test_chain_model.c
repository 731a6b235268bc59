/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a chain. Each is compared with a model that is too simple to be wrong: an array,
 * a length and an error. Some allocations fail. The seed is fixed; a failure prints the number of the
 * operation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chain_checks.h"

#define CONTENT_MAX (512 * KIB) /* a longer chain is reset */
#define PART_MAX (100 * KIB)

static struct {
	struct counting_backing counting;
	tierpool *pool;
	tierpool_chain chain;
	char *bytes;
	size_t len;
	int error;
	uint64_t random;
	int memory;
	unsigned number, errors, blocks_most;
	uint64_t larger; /* blocks that were lent in place of smaller ones */
} run;

static size_t any(size_t n)
{
	return (size_t)next_random(&run.random) % n;
}

/* Mostly short; at times 0, or of many blocks. */
static size_t any_length(void)
{
	return any(8) ? any(40) : any(8) ? any(3000) : any(PART_MAX);
}

#define expect(condition) cr_assert(condition, "operation %u: %s", run.number, #condition)

static void do_append(void)
{
	bool fails = !any(20);
	size_t n = fails ? any(PART_MAX) : any_length(), from = any(MIB);
	size_t borrowed = stats_of(run.pool).borrowed;
	int error;

	if (fails) {
		tierpool_trim(run.pool, 0); /* or idle buffers would be lent */
		counting_backing_fail(&run.counting, 1 + any(any(2) ? 2 : 40), any(2));
	}
	error = tierpool_chain_append(&run.chain, chain_text + from, n);
	counting_backing_fail(&run.counting, 0, false);
	if (run.error) {
		expect(error == run.error);
	} else if (error) {
		expect(fails && error == -ENOMEM);
		run.error = error;
		run.errors++;
	} else {
		memcpy(run.bytes + run.len, chain_text + from, n);
		run.len += n;
	}
	if (error)
		expect(stats_of(run.pool).borrowed == borrowed);
}

static void do_append_own(void)
{
	struct iovec own;
	size_t offset = run.len ? any(run.len) : 0;

	if (!tierpool_chain_iovec(&run.chain, offset, &own, 1) || own.iov_len > PART_MAX)
		return;
	expect(tierpool_chain_append(&run.chain, own.iov_base, own.iov_len) == run.error);
	if (run.error)
		return;
	memmove(run.bytes + run.len, run.bytes + offset, own.iov_len);
	run.len += own.iov_len;
}

static void do_wrong(void)
{
	run.error = run.error ? run.error : -EINVAL;
	expect(tierpool_chain_append(&run.chain, NULL, 1) == run.error);
}

static void do_pieces(void)
{
	size_t offset = any(run.len + 1);

	if (offset < run.len)
		expect_part(&run.chain, offset, run.bytes + offset, run.len - offset);
	else
		expect(tierpool_chain_iovec(&run.chain, offset, NULL, 0) == 0);
}

static void do_write(void)
{
	size_t offset = any(run.len + 2), begin = offset;
	bool from_start = !any(4);
	ssize_t wanted = run.error          ? run.error
			 : from_start       ? (ssize_t)run.len
			 : offset > run.len ? -EINVAL
					    : (ssize_t)(run.len - offset);
	static char written[CONTENT_MAX + 2 * PART_MAX];

	expect(!ftruncate(run.memory, 0) && !lseek(run.memory, 0, SEEK_SET));
	expect(tierpool_chain_write_fd(&run.chain, run.memory, from_start ? NULL : &offset) ==
		wanted);
	begin = from_start ? 0 : begin;
	if (wanted >= 0) {
		expect(from_start || offset == run.len);
		expect(pread(run.memory, written, sizeof written, 0) == wanted);
		expect(!memcmp(written, run.bytes + begin, (size_t)wanted));
	} else {
		expect(from_start || offset == begin);
		expect(lseek(run.memory, 0, SEEK_CUR) == 0);
	}
}

static void do_flatten(void)
{
	tierpool_buf *b = (tierpool_get_sized)(run.pool, 1 + any(3000));

	expect(b && !tierpool_buf_append(b, "[", 1));
	expect(tierpool_chain_flatten(&run.chain, b) == run.error);
	expect(b->len == 1 + (run.error ? 0 : run.len) && b->data[0] == '[');
	expect(!memcmp(b->data + 1, run.bytes, b->len - 1));
	tierpool_put(b);
}

static void do_reset(void)
{
	expect_chain(&run.chain, run.bytes, run.len);
	tierpool_chain_reset(&run.chain);
	expect(stats_of(run.pool).borrowed == 0);
	run.len = 0;
	run.error = 0;
}

static void (*const operations[])(void) = {do_append, do_append, do_append, do_append, do_append,
	do_append, do_append, do_append, do_append_own, do_pieces, do_write, do_flatten};

static void compare(const struct tierpool_options *options, size_t block, unsigned count)
{
	struct tierpool_backing calls = counting_backing_calls(&run.counting);
	struct tierpool_options all = *options;

	counting_backing_init(&run.counting);
	all.backing = &calls;
	run.pool = pool_create(&all);
	run.random = 20250115 + block;
	run.bytes = malloc(CONTENT_MAX + 2 * PART_MAX);
	run.memory = memfd_create("chain", MFD_CLOEXEC);
	tierpool_chain_init(&run.chain, run.pool, block);
	for (run.number = 1; run.number <= count; run.number++) {
		size_t blocks;

		if (!any(200))
			do_wrong();
		else if (!any(300) || run.len > CONTENT_MAX || (run.error && !any(10)))
			do_reset();
		else
			operations[any(sizeof operations / sizeof *operations)]();
		/* Larger ones lie idle, and old, as they may be lent. */
		if (!any(50)) {
			cycle(run.pool, block + 1, 2);
			tierpool_tick(run.pool);
		}
		expect(tierpool_chain_len(&run.chain) == run.len);
		expect(tierpool_chain_error(&run.chain) == run.error);
		blocks = tierpool_chain_iovec(&run.chain, 0, NULL, 0);
		run.blocks_most = blocks > run.blocks_most ? (unsigned)blocks : run.blocks_most;
	}
	do_reset();
	expect(run.errors >= 10);
	run.larger = stats_of(run.pool).hits_larger;
	free(run.bytes);
	pool_end(run.pool, &run.counting);
}

Test(chain_model, operations_agree_in_a_pool_of_all_defaults)
{
	compare(&pool_options(.name = "model"), 0, 8000);
	cr_assert_geq(run.blocks_most, 6);
}

Test(chain_model, operations_agree_with_small_blocks_of_which_none_is_kept)
{
	compare(&pool_options(.name = "model", .retain = TIERPOOL_RETAIN_NONE), 100, 8000);
	cr_assert_geq(run.blocks_most, 1000, "only %u blocks", run.blocks_most);
}

Test(chain_model, operations_agree_with_odd_tiers_and_blocks_above_the_largest_one)
{
	static const size_t tiers[] = {1, 7, 100, 1000};

	compare(&pool_options(.name = "model", .tiers = tiers, .tier_count = 4, .max_idle = 3),
		1001, 8000);
}

Test(chain_model, operations_agree_where_larger_blocks_are_lent)
{
	static const size_t tiers[] = {60, 64, 70, 75, 80, 4000};

	compare(&pool_options(.name = "model", .tiers = tiers, .tier_count = 6, .max_idle = 2), 60,
		8000);
	cr_assert_geq(run.larger, 10);
}
