/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What enlightenments are for, each by itself, for the benchmark. It is linked statically, and
 * given to guests as it is. All run so many seconds, and print the operations and the seconds that
 * they took:
 *
 *   exercise clock      reads the monotonic clock
 *   exercise sleep      sleeps a millisecond, so that a timer ends it
 *   exercise wake       two threads on different vps wake each other, by two pipes
 *   exercise broadcast  has the kernel patch itself, of which it tells every vp several times:
 *                       a switch of its statistics is turned
 *   exercise protect    one thread takes away and gives back the right to write to a page that
 *                       threads on all other vps are reading: their TLBs are flushed
 *   exercise far        the same, with threads on the last three vps alone
 *   exercise lock       threads on all vps contend for a lock in the kernel, that of their files
 *
 * And for clocks that are compared with the host's:
 *
 *   exercise tell       answers each line with "clocks: " and the nanoseconds of the monotonic
 *                       and the real-time clock; the line "end" ends it
 */
#include <cpuid.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 256
#define BATCH       64 /* operations of those that are short, between looks at the clock */
#define SWITCH      "/proc/sys/kernel/sched_schedstats"

static uint64_t clock_read(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Begins when it is made; says when the seconds are over. */
struct span {
	uint64_t begin, end;
};

static struct span span_of(const char *seconds)
{
	uint64_t now = clock_read(CLOCK_MONOTONIC);

	return (struct span){ now, now + (uint64_t)(atof(seconds) * 1e9) };
}

static bool span_lasts(const struct span *span)
{
	return clock_read(CLOCK_MONOTONIC) < span->end;
}

static int span_print(const struct span *span, uint64_t operations)
{
	double seconds = (double)(clock_read(CLOCK_MONOTONIC) - span->begin) / 1e9;

	printf("%llu %f\n", (unsigned long long)operations, seconds);
	return 0;
}

static void stay_on(int vp)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)vp, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "vp %d", vp);
}

static int vps(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < THREADS_MAX ? (int)count : THREADS_MAX;
}

static void thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
	if (pthread_create(thread, NULL, run, argument) != 0)
		errx(1, "no thread");
}

/* ---- One vp ---- */

static int clock_exercise(const char *seconds)
{
	struct span span = span_of(seconds);
	uint64_t operations = 0;

	while (span_lasts(&span)) {
		for (int i = 1; i < BATCH; i++)
			clock_read(CLOCK_MONOTONIC);
		operations += BATCH;
	}
	return span_print(&span, operations);
}

static int sleep_exercise(const char *seconds)
{
	struct timespec time = { .tv_nsec = 1000000 };
	struct span span = span_of(seconds);
	uint64_t operations = 0;

	for (; span_lasts(&span); operations++)
		nanosleep(&time, NULL);
	return span_print(&span, operations);
}

static int rest_exercise(const char *seconds)
{
	struct span span = span_of(seconds);

	usleep((useconds_t)((span.end - span.begin) / 1000));
	return span_print(&span, 1);
}

/* ---- Several ---- */

static int there[2], back[2];

static void *echo(void *unused)
{
	char byte;

	stay_on(1);
	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			err(1, "write");
	return unused;
}

static int wake_exercise(const char *seconds)
{
	uint64_t operations = 0;
	pthread_t thread;
	struct span span;
	char byte = 0;

	if (vps() < 2 || pipe(there) < 0 || pipe(back) < 0)
		errx(1, "no two vps, or no pipes");
	thread_start(&thread, echo, NULL);
	stay_on(0);
	span = span_of(seconds);
	for (; span_lasts(&span); operations += 2)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			err(1, "pipes");
	return span_print(&span, operations);
}

static int broadcast_exercise(const char *seconds)
{
	int fd = open(SWITCH, O_WRONLY | O_CLOEXEC);
	uint64_t operations = 0;
	struct span span;

	if (fd < 0)
		err(1, SWITCH);
	stay_on(0);
	span = span_of(seconds);
	for (; span_lasts(&span); operations++)
		if (pwrite(fd, operations % 2 ? "0" : "1", 1, 0) != 1)
			err(1, SWITCH);
	if (pwrite(fd, "0", 1, 0) != 1)
		err(1, SWITCH);
	return span_print(&span, operations);
}

static atomic_bool over;
static volatile char *page;

static void *read_page(void *vp)
{
	stay_on(*(int *)vp);
	while (!over)
		(void)*page;
	return NULL;
}

static void *duplicate(void *vp)
{
	stay_on(*(int *)vp);
	while (!over) {
		int fd = dup(0);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* Threads from the vp `first` to the last; the first of all is this one's. */
static void surround(pthread_t *threads, int first, void *(*run)(void *))
{
	static int numbers[THREADS_MAX];

	for (int i = first; i < vps(); i++) {
		numbers[i] = i;
		thread_start(&threads[i], run, &numbers[i]);
	}
	stay_on(0);
}

static void surround_end(pthread_t *threads, int first)
{
	over = true;
	for (int i = first; i < vps(); i++)
		pthread_join(threads[i], NULL);
}

static int protect(const char *seconds, int first)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	pthread_t threads[THREADS_MAX];
	uint64_t operations = 0;
	struct span span;

	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		err(1, "mmap");
	surround(threads, first, read_page);
	span = span_of(seconds);
	for (; span_lasts(&span); operations++) {
		*page = 1;
		if (mprotect((void *)page, size, PROT_READ) < 0 ||
		    mprotect((void *)page, size, PROT_READ | PROT_WRITE) < 0)
			err(1, "mprotect");
	}
	span_print(&span, operations);
	surround_end(threads, first);
	return 0;
}

static int protect_exercise(const char *seconds)
{
	return protect(seconds, 1);
}

static int far_exercise(const char *seconds)
{
	return protect(seconds, vps() > 3 ? vps() - 3 : 1);
}

static int lock_exercise(const char *seconds)
{
	pthread_t threads[THREADS_MAX];
	uint64_t operations = 0;
	struct span span;

	surround(threads, 1, duplicate);
	span = span_of(seconds);
	for (; span_lasts(&span); operations++) {
		int fd = dup(0);

		if (fd >= 0)
			close(fd);
	}
	span_print(&span, operations);
	surround_end(threads, 1);
	return 0;
}

static int tell(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
		uint64_t monotonic = clock_read(CLOCK_MONOTONIC);

		printf("clocks: %llu %llu\n", (unsigned long long)monotonic,
		       (unsigned long long)clock_read(CLOCK_REALTIME));
		fflush(stdout);
	}
	return 0;
}

static int leaves(void)
{
	unsigned eax, ebx, ecx, edx;

	for (unsigned leaf = 0x40000003; leaf <= 0x40000004; leaf++) {
		__cpuid(leaf, eax, ebx, ecx, edx);
		printf("%08x %08x %08x %08x ", eax, ebx, ecx, edx);
	}
	__cpuid(0x80000007, eax, ebx, ecx, edx);
	printf("%s\n", edx & 1 << 8 ? "invariant" : "variable");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *seconds);
	} exercises[] = {
		{ "clock", clock_exercise },     { "sleep", sleep_exercise },
		{ "wake", wake_exercise },       { "broadcast", broadcast_exercise },
		{ "protect", protect_exercise }, { "far", far_exercise },
		{ "lock", lock_exercise },       { "rest", rest_exercise },
	};

	for (size_t i = 0; i < sizeof(exercises) / sizeof(*exercises); i++)
		if (argc == 3 && strcmp(argv[1], exercises[i].name) == 0)
			return exercises[i].run(argv[2]);
	if (argc == 2 && strcmp(argv[1], "tell") == 0)
		return tell();
	if (argc == 2 && strcmp(argv[1], "leaves") == 0)
		return leaves();
	fprintf(stderr, "usage: exercise clock|sleep|wake|broadcast|protect|far|lock|rest SECONDS |"
			" tell | leaves\n");
	return 2;
}
