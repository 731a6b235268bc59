/* SPDX-License-Identifier: MIT */
/*
 * encode_control: a Debian control file in; one JSON object a stanza and line out, in the order of
 * the input, by as many threads as there are CPUs. At the end one screen says what the pool did, what
 * the same encoding costs with malloc and with one reused buffer in each thread, and which sizes the
 * pool has learned.
 *
 * This is the main job of the library, as a program would use it: job.h. parse.h says what is read,
 * json_template.h what is written for it, race.h how the comparison is made. Malformed stanzas are
 * named on stderr by line, and skipped.
 *
 * Exit status: 0; 1: stanzas were skipped; 2: wrong usage, errors of input or output, and lack of
 * memory. SAMPLE_FILE names the control file to read if the system has none.
 */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "job.h"
#include "profile.h"
#include "race.h"
#include "support/measure.h"
#include "support/program.h"

#define THREADS_MOST 1024
#define REPEAT_MOST 1000000
#define SECONDS_MOST 3600
#define DEMO_SECONDS 1.0 /* how long the job repeats without --output, --trace, --repeat */
#define DEMO_COMPARE 2.0 /* and the comparison without these, --profile, --seconds */

struct options {
	const char *input;   /* NULL: not given */
	const char *output;  /* NULL: not given */
	const char *trace;   /* NULL: not given */
	const char *profile; /* NULL: not given */
	bool guess;
	double threads; /* 0: not given */
	double repeat;  /* 0: not given */
	double seconds; /* below 0: not given */
};

static const char usage[] =
	"Usage: encode_control [option]... [file]\n"
	"Writes each stanza of a Debian control file as one line of JSON, out of pooled\n"
	"buffers, and reports how the pool did.\n"
	"\n"
	"  file               the control file; - for standard input; by default\n"
	"                     " STATUS_FILE ", or else the sample that comes with this\n"
	"  -o, --output FILE  where the JSON goes; - for standard output, and the report\n"
	"                     goes to standard error; by default it is only counted\n"
	"  -t, --threads N    threads that encode, 1 to 1024; by default one for each CPU\n"
	"  -r, --repeat N     encode the input N times, 1 to 1000000; by default once with\n"
	"                     --output or --trace, else for a second\n"
	"  -s, --seconds S    compare the pool with malloc and with reused buffers for S\n"
	"                     seconds, 0 to 3600; by default 0 with --output, --trace or\n"
	"                     --profile, else 2\n"
	"  -g, --guess        guess the size of each record; by default its buffer has the\n"
	"                     size that the pool has learned\n"
	"      --trace FILE   encode once, and write to FILE each get, growth and put of\n"
	"                     its pools, for replay_trace, which tells what pools with other\n"
	"                     options would have done; the same as TIERPOOL_TRACE=FILE in\n"
	"                     the environment\n"
	"  -p, --profile FILE profile the job, and write to FILE which places borrow how\n"
	"                     much, and what they use of it. Its ending is the format: .txt\n"
	"                     for people; .pb.gz for go tool pprof; .heap for google-pprof\n"
	"                     and jeprof; .folded for flame graphs; .json\n"
	"  -h, --help         show this\n"
	"\n"
	"Exit status: 0; 1 when malformed stanzas were skipped; 2 on any error.\n";

static int job_report(const struct job *job, FILE *out)
{
	struct tierpool_stats s = {.size = sizeof s};
	int error = tierpool_stats_read(job->pool, &s);
	double seconds = job->ns / 1e9, input = (double)job->bytes_in / 1e6,
	       output = (double)job->bytes_out / 1e6;

	if (error)
		return error_print("cannot read the pool's statistics", error);
	fprintf(out, "Input     %s: %.2f MB, %" PRIu64 " records; %" PRIu64 " malformed, skipped\n",
		job->input.name, (double)(job->input.text.end - job->input.text.at) / 1e6,
		job->pass ? job->records / job->pass : 0, job->faults);
	fprintf(out, "Output    %.2f MB, %s\n", output,
		job->output.name ? job->output.name : "only counted");
	fprintf(out, "Speed     %.0f records/s, %.0f MB/s in, %.0f MB/s out\n",
		(double)job->records / seconds, input / seconds, output / seconds);
	fprintf(out, "          threads: %u, passes: %" PRIu64 ", seconds: %.2f\n", job->threads,
		job->pass, seconds);
	fprintf(out, "Pool      per CPU by %s, blocks from %s; borrowed now: %zu\n", s.percpu,
		s.backing, s.borrowed);
	fprintf(out, "Gets      %" PRIu64 ", %.3f %% served by an idle buffer\n", s.gets,
		s.gets ? 100 * (double)s.hits / (double)s.gets : 0);
	fprintf(out,
		"Growths   %" PRIu64 ", %" PRIu64
		" by exchange with an idle buffer; %.4f a record\n",
		s.grows, s.grows_pooled, job->records ? (double)s.grows / (double)job->records : 0);
	fprintf(out, "Idle      %.2f MiB now, %.2f MiB at peak; bound %.2f MiB\n",
		(double)s.idle_bytes / 0x1p20, (double)s.idle_bytes_peak / 0x1p20,
		(double)s.retain / 0x1p20);
	return 0;
}

static int sites_report(tierpool *pool, FILE *out)
{
	int error;

	fputc('\n', out);
	error = tierpool_sites_print(pool, out);
	return error ? error_print("cannot report the sites", error) : 0;
}

static unsigned cpus_usable(void)
{
	cpu_set_t allowed;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (!sched_getaffinity(0, sizeof allowed, &allowed))
		return (unsigned)CPU_COUNT(&allowed);
	return online < 1 ? 1 : online > THREADS_MOST ? THREADS_MOST : (unsigned)online;
}

/* The job and the comparison, with a pool and an input to work on. Returns: the exit status. */
static int job_do(struct job *job, const struct options *o)
{
	FILE *out = job->output.fd == STDOUT_FILENO ? stderr : stdout;
	bool once = o->output || o->trace;
	double seconds = o->seconds >= 0 ? o->seconds : once || o->profile ? 0 : DEMO_COMPARE;
	struct profile profile;
	int status = profile_begin(&profile, o->profile), ended;

	job->threads = o->threads > 0 ? (unsigned)o->threads : cpus_usable();
	job->guess = o->guess;
	job->passes = o->repeat > 0 ? o->repeat : once ? 1 : DBL_MAX;
	job->deadline = o->repeat > 0 ? DBL_MAX : now_ns() + DEMO_SECONDS * 1e9;
	job->progress = isatty(STDERR_FILENO);
	if (!status)
		status = job_run(job);
	ended = profile_end(&profile);
	status = status ? status : ended;
	if (!status)
		status = output_close(&job->output);
	if (!status)
		status = job_report(job, out);
	if (!status && seconds > 0 && job->records)
		status = race_compare(
			job->pool, job->input.text, job->threads, seconds, job->progress, out);
	if (!status)
		status = sites_report(job->pool, out);
	if (!status && (fflush(out) || ferror(out)))
		status = error_print("cannot write the report", errno);
	return status ? status : job->faults > 0;
}

int main(int argc, char **argv)
{
	struct options options = {.seconds = -1};
	const struct choice choices[] = {
		{"output", .text = &options.output},
		{"guess", .flag = &options.guess},
		{"threads", .number = &options.threads, 1, THREADS_MOST, .whole = true},
		{"repeat", .number = &options.repeat, 1, REPEAT_MOST, .whole = true},
		{"seconds", .number = &options.seconds, 0, SECONDS_MOST},
		{"trace", .text = &options.trace},
		{"profile", .text = &options.profile},
	};
	struct tierpool_options pool_options = TIERPOOL_OPTIONS_INIT;
	struct job job = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.room = PTHREAD_COND_INITIALIZER,
		.ready = PTHREAD_COND_INITIALIZER};
	int status = options_read("encode_control", usage, choices, 7, &options.input, argc, argv),
	    error;

	if (status)
		return status < 0 ? 0 : status;
	signal(SIGPIPE, SIG_IGN);
	if (options.trace && setenv("TIERPOOL_TRACE", options.trace, 1))
		return error_print("cannot set TIERPOOL_TRACE", errno);
	pool_options.name = "encode_control";
	error = tierpool_create(&job.pool, &pool_options);
	if (error)
		return error_print("cannot create the pool", error);
	status = input_open(&job.input, options.input);
	if (!status)
		status = output_open(&job.output, options.output, &job.input);
	if (!status)
		status = job_do(&job, &options);
	input_close(&job.input);
	if (tierpool_destroy(job.pool)) {
		fputs("encode_control: buffers were not put back\n", stderr);
		status = FAILED;
	}
	return status;
}
