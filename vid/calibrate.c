/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calibration: does guest kernel code run at the speed of the CPU?
 *
 * Some KVMs run guest user mode natively but emulate guest kernel mode, a thousand times slower; a
 * stock kernel would then seem to hang. No capability tells. So a guest of one page counts down in
 * ring 0 for a moment and is kicked out of it; how far it came in the CPU time it took is compared
 * with the same loop here.
 */
#include "vid/internal.h"

#include <string.h>
#include <time.h>

#define RUN_NS        3000000u   /* time for the guest; four times as much each time */
#define RUN_NS_MAX    200000000u /* it has not got far */
#define FAR           32u        /* times round the loop: what emulates does a hundred times that */
#define GUEST_RAM     0x10000u   /* bytes */
#define GUEST_CODE    0x1000u    /* GPA */
#define LOOP_COUNT    0xffffffffu
#define HOST_LOOPS    1000000u
#define NATIVE_FACTOR 20.0

/* dec ecx; jnz to the dec; and if it ever ends, again. */
static const uint8_t loop_code[] = { 0x49, 0x75, 0xfd, 0xeb, 0xfb };

static uint64_t thread_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double calibrate_host(void)
{
	uint64_t before = thread_time_ns();
	uint32_t count = HOST_LOOPS;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(count) : : "cc");
	return (double)(thread_time_ns() - before) / HOST_LOOPS;
}

/* Flat 32-bit protected mode without paging: the least that is kernel mode. */
static int calibrate_set_up(struct vid_vp *vp)
{
	static const struct vid_segment code = { .limit = 0xffffffff,
						 .selector = 0x08,
						 .attributes = 0xc9b };
	static const struct vid_segment data = { .limit = 0xffffffff,
						 .selector = 0x10,
						 .attributes = 0xc93 };
	struct vid_registers registers = { .rip = GUEST_CODE, .rflags = 2, .rcx = LOOP_COUNT };
	struct vid_system_registers system;
	int r;

	r = vid_vp_get_system(vp, &system);
	if (r < 0)
		return r;
	system.cs = code;
	system.ds = system.es = system.fs = system.gs = system.ss = data;
	system.cr0 |= 1;
	r = vid_vp_set_system(vp, &system);
	if (r < 0)
		return r;
	return vid_vp_set_registers(vp, &registers);
}

struct kick {
	struct vid_vp *vp;
	uint32_t delay_ns;
};

static void *calibrate_kicker(void *data)
{
	const struct kick *kick = data;
	struct timespec delay = { .tv_nsec = kick->delay_ns };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &delay, &delay) == EINTR)
		continue;
	vid_vp_kick(kick->vp);
	return NULL;
}

/* The guest goes on for that long. *ret_loops: how often it has been round by now. */
static int calibrate_run(struct vid_vp *vp, uint32_t run_ns, uint64_t *ret_ns, uint32_t *ret_loops)
{
	struct kick kick = { vp, run_ns };
	struct vid_registers registers;
	struct vid_exit exit;
	uint64_t before, after;
	pthread_t kicker;
	int r;

	r = pthread_create(&kicker, NULL, calibrate_kicker, &kick);
	if (r != 0)
		return -r;
	before = thread_time_ns();
	r = vid_vp_run(vp, &exit);
	after = thread_time_ns();
	pthread_join(kicker, NULL);
	if (r < 0)
		return r;
	if (exit.kind != VID_EXIT_KICK)
		return -EIO;
	r = vid_vp_get_registers(vp, &registers);
	if (r < 0)
		return r;
	*ret_ns = after - before;
	*ret_loops = LOOP_COUNT - (uint32_t)registers.rcx;
	return 0;
}

/*
 * Where all is slow, the time may be over before the guest has begun: then it gets more, until it
 * has been round often enough. What had to be done first does not count then.
 */
static int calibrate_guest(struct vid_vp *vp, double *ret_ns)
{
	uint32_t before, loops = 0;
	uint64_t time_ns;

	for (uint32_t run_ns = RUN_NS;; run_ns *= 4) {
		int r;

		before = loops;
		r = calibrate_run(vp, run_ns, &time_ns, &loops);
		if (r < 0)
			return r;
		if (loops - before >= FAR || run_ns * 4 > RUN_NS_MAX)
			break;
	}
	/* At least 1, for a guest that got nowhere. */
	*ret_ns = (double)time_ns / (double)(loops - before + 1);
	return 0;
}

int vid_calibrate(struct vid *vid, struct vid_calibration *ret_calibration)
{
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = GUEST_RAM };
	CLEANUP(vid_memory_freep) struct vid_memory *memory = NULL;
	CLEANUP(vid_partition_freep) struct vid_partition *partition = NULL;
	CLEANUP(vid_vp_freep) struct vid_vp *vp = NULL;
	struct vid_partition_config config = { 0 };
	struct vid_calibration calibration;
	int r;

	r = vid_memory_new(&memory);
	if (r < 0)
		return r;
	r = vid_memory_add(memory, ram, VID_MEMORY_SMALL, false);
	if (r < 0)
		return r;
	memcpy(vid_memory_map(memory, GPA(GUEST_CODE), sizeof(loop_code)), loop_code,
	       sizeof(loop_code));
	config.memory = memory;
	r = vid_partition_new(vid, &config, &partition);
	if (r < 0)
		return r;
	r = vid_vp_new(partition, 0, 0, &vp);
	if (r < 0)
		return r;
	r = calibrate_set_up(vp);
	if (r < 0)
		return r;
	r = calibrate_guest(vp, &calibration.kernel_mode_ns);
	if (r < 0)
		return r;
	calibration.host_ns = calibrate_host();
	calibration.native = calibration.kernel_mode_ns < calibration.host_ns * NATIVE_FACTOR;
	*ret_calibration = calibration;
	return 0;
}
