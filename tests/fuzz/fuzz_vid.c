/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypervisor interface below the Hyper-V personality: exits of a hostile guest, decoded and
 * handled; interrupts and exceptions injected into vps in any state; memory that is added, marked,
 * discarded and tracked, while partitions come and go around it. What is known to have been written
 * must be found by the next reading of dirty pages, and an interrupt be injected only where the vp
 * can take it.
 *
 * Input: a byte that chooses the engine, then steps: what, and what it takes, mixed with what the
 * guest decides (tests/fuzz/fake_kvm.c).
 */
#include "hvshim/hvshim.h"
#include "tests/fake/watched_memory.h"
#include "tests/fuzz/fake_kvm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define REGIONS     8
#define STEPS       64
#define MAP_PAGES   512 /* where regions are */
#define CONNECTIONS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct loop *loop;
	struct vid vid;
	struct vid_memory *memory;
	struct vid_partition *partition;
	struct vid_vp *vps[FAKE_KVM_VPS];
	struct hvshim *hvshim;
	enum hvshim_engine engine;
	int event_fd;
	uint64_t written[REGIONS]; /* pages that the next reading must have */
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
	require(message->size <= HVSHIM_MESSAGE_PAYLOAD);
}

static void on_slot_free(void *data, uint32_t vp)
{
	require(vp < FAKE_KVM_VPS);
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
	require(crash->text_size <= sizeof(crash->text));
}

static void on_reset(void *data)
{
}

static const struct hvshim_callbacks callbacks = {
	.message = on_message,
	.slot_free = on_slot_free,
	.crash = on_crash,
	.reset = on_reset,
};

/* ---- The partition ---- */

static void partition_make(struct machine *m)
{
	struct vid_partition_config config = { .memory = m->memory };
	struct hvshim_config hvshim_config = {
		.engine = m->engine,
		.vp_count = FAKE_KVM_VPS,
		.loop = m->loop,
		.callbacks = &callbacks,
		.data = m,
		.message_connections = { 1, 4 },
		.enlightenments = UINT32_MAX,
		.x2apic_guest = true,
	};

	require(vid_partition_new(&m->vid, &config, &m->partition) == 0);
	hvshim_config.partition = m->partition;
	require(hvshim_new(&hvshim_config, &m->hvshim) == 0);
	for (uint32_t i = 0; i < FAKE_KVM_VPS; i++) {
		struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };

		require(vid_vp_new(m->partition, i, i, &m->vps[i]) == 0);
		/* KVM may refuse an MSR: then this vp is one without. */
		(void)!hvshim_vp_attach(m->hvshim, m->vps[i], &cpuid);
	}
}

/* The machine is reset, or the input has ended. */
static void partition_end(struct machine *m)
{
	for (uint32_t id = 0; id < CONNECTIONS; id++)
		hvshim_connection_remove(m->hvshim, id);
	hvshim_free(m->hvshim);
	for (unsigned i = 0; i < 4; i++)
		require(loop_run_once(m->loop, 0) == 0);
	for (uint32_t i = 0; i < FAKE_KVM_VPS; i++)
		vid_vp_free(m->vps[i]);
	vid_partition_free(m->partition);
	fake_kvm_forget();
}

/* ---- Memory ---- */

static void note_written(struct machine *m, uint64_t gpa, uint64_t size)
{
	if (!vid_memory_tracks_dirty(m->memory))
		return;
	for (size_t i = 0; i < vid_memory_region_count(m->memory); i++) {
		struct vid_memory_region region = vid_memory_region(m->memory, i);

		for (uint64_t page = 0; page < region.size / HV_PAGE_SIZE; page++) {
			uint64_t first = region.gpa.value + page * HV_PAGE_SIZE;

			if (gpa < first + HV_PAGE_SIZE && gpa + size > first)
				m->written[i] |= UINT64_C(1) << page;
		}
	}
}

/* Anywhere; or pages of a region, from one of the first few on. */
static void take_range(const struct machine *m, uint64_t *ret_gpa, uint64_t *ret_size)
{
	uint8_t kind = (uint8_t)fake_kvm_take(1);
	size_t count = vid_memory_region_count(m->memory);
	struct vid_memory_region region;

	if (kind & 0x80 || count == 0) {
		*ret_gpa = fake_kvm_take(2) % MAP_PAGES * HV_PAGE_SIZE;
		*ret_size = fake_kvm_take(1) * HV_PAGE_SIZE;
		return;
	}
	region = vid_memory_region(m->memory, kind % count);
	*ret_gpa = region.gpa.value + kind / 16 * HV_PAGE_SIZE;
	*ret_size = fake_kvm_take(1) % FAKE_KVM_PAGES * HV_PAGE_SIZE;
}

static void do_add(struct machine *m)
{
	struct vid_memory_region region = { .gpa = GPA(0) };
	int r;

	region.gpa.value = fake_kvm_take(1) * 2 * HV_PAGE_SIZE;
	region.size = fake_kvm_take(1) % (FAKE_KVM_PAGES + 1) * HV_PAGE_SIZE;
	if (vid_memory_region_count(m->memory) == REGIONS)
		return;
	r = vid_memory_add(m->memory, region, VID_MEMORY_SMALL, true);
	require(r == 0 || r == -EINVAL || r == -EEXIST || (fake_kvm.fails && r == -ENOMEM));
}

static void do_mark(struct machine *m)
{
	uint64_t gpa, size;

	take_range(m, &gpa, &size);
	gpa += fake_kvm_take(2) % HV_PAGE_SIZE;
	size = size > 0 ? size - fake_kvm_take(2) % HV_PAGE_SIZE : 0;
	vid_memory_mark_written(m->memory, GPA(gpa), size);
	if (size > 0)
		note_written(m, gpa, size);
}

static void do_guest_write(struct machine *m)
{
	size_t slot = fake_kvm_take(1), count = vid_memory_region_count(m->memory);
	unsigned page = (unsigned)fake_kvm_take(1);
	struct vid_memory_region region;
	gpa_t gpa;

	if (count == 0)
		return;
	slot %= count;
	region = vid_memory_region(m->memory, slot);
	page %= (unsigned)(region.size / HV_PAGE_SIZE);
	gpa = gpa_add(region.gpa, page * HV_PAGE_SIZE);
	*(uint8_t *)watched_memory_guest(m->memory, gpa, 1) = 0xff;
	fake_kvm_write(slot, page);
	note_written(m, gpa.value, 1);
}

static void do_discard(struct machine *m)
{
	uint64_t gpa, size;
	int r;

	take_range(m, &gpa, &size);
	r = vid_memory_discard_range(m->memory, GPA(gpa), size);
	require(r == 0 || r == -EINVAL);
	if (r < 0)
		return;
	note_written(m, gpa, size);
	for (; size > 0; gpa += HV_PAGE_SIZE, size -= HV_PAGE_SIZE)
		require(*(uint8_t *)watched_memory_guest(m->memory, GPA(gpa), 1) == 0);
}

static void do_discard_all(struct machine *m)
{
	require(vid_memory_discard(m->memory) == 0);
	note_written(m, 0, MAP_PAGES * 2 * HV_PAGE_SIZE);
}

static void do_track(struct machine *m)
{
	bool enable = fake_kvm_take(1) & 1, was = vid_memory_tracks_dirty(m->memory);
	int r = vid_memory_track_dirty(m->memory, enable);

	require(r == 0 || fake_kvm.fails);
	if (enable && !was)
		memset(m->written, 0, sizeof(m->written));
}

static void do_read(struct machine *m)
{
	size_t i = fake_kvm_take(1) % (vid_memory_region_count(m->memory) + 1);
	uint64_t bitmap;
	int r = vid_memory_read_dirty(m->memory, i, &bitmap, 1);

	if (r < 0) {
		require(fake_kvm.fails || !vid_memory_tracks_dirty(m->memory) ||
			i >= vid_memory_region_count(m->memory));
		return;
	}
	require((m->written[i] & ~bitmap) == 0);
	m->written[i] = 0;
}

/* Every byte of a range is RAM that is mapped in one piece, or none of it is. */
static void do_run(struct machine *m)
{
	uint64_t gpa, size;

	take_range(m, &gpa, &size);
	while (size > 0) {
		bool is_ram;
		uint64_t run = vid_memory_run(m->memory, GPA(gpa), size, &is_ram);

		require(run > 0 && run <= size);
		require(is_ram == (watched_memory_guest(m->memory, GPA(gpa), run) != NULL));
		require(is_ram || !watched_memory_guest(m->memory, GPA(gpa + run - 1), 1));
		gpa += run;
		size -= run;
	}
}

/* ---- The guest, and what the host does beside ---- */

static void do_exit(struct machine *m)
{
	struct vid_vp *vp = m->vps[fake_kvm_take(1) % FAKE_KVM_VPS];
	struct vid_exit exit;

	require(vid_vp_run(vp, &exit) == 0);
	(void)!hvshim_exit(m->hvshim, vp, &exit);
	require(vid_vp_exits(vp, exit.kind) > 0);
}

static void do_interrupt(struct machine *m)
{
	struct vid_vp *vp = m->vps[fake_kvm_take(1) % FAKE_KVM_VPS];
	int r = vid_vp_inject_interrupt(vp, (uint8_t)(16 + fake_kvm_take(1) % 240));

	require(r == 0 || r == VID_E_NOT_NOW);
}

static void do_exception(struct machine *m)
{
	struct vid_vp *vp = m->vps[fake_kvm_take(1) % FAKE_KVM_VPS];

	require(vid_vp_inject_exception(vp, (uint8_t)fake_kvm_take(1) % 32) == 0);
}

static void do_post(struct machine *m)
{
	struct hvshim_message message = { .type = 1, .size = (uint32_t)fake_kvm_take(1) };
	int r = hvshim_post_message(m->hvshim, (uint32_t)fake_kvm_take(1) % 3,
				    (uint32_t)fake_kvm_take(1) % 18, &message);

	require(r >= 0 || r == -EINVAL || fake_kvm.fails);
}

static void do_signal(struct machine *m)
{
	hvshim_signal_event(m->hvshim, (uint32_t)fake_kvm_take(1) % 3,
			    (uint32_t)fake_kvm_take(1) % 18, (uint32_t)fake_kvm_take(2) % 2050);
}

static void do_connection(struct machine *m)
{
	uint8_t what = (uint8_t)fake_kvm_take(1);

	if (what & 0x80)
		hvshim_connection_remove(m->hvshim, what % CONNECTIONS);
	else
		(void)!hvshim_connection_add(m->hvshim, what % CONNECTIONS, m->event_fd);
}

static void do_turn(struct machine *m)
{
	require(loop_run_once(m->loop, 0) == 0);
}

static void do_fail(struct machine *m)
{
	fake_kvm.fails = !fake_kvm.fails;
}

static void do_reset(struct machine *m)
{
	fake_kvm.fails = false;
	partition_end(m);
	partition_make(m);
}

static void (*const steps[])(struct machine *m) = {
	do_exit,      do_exit,      do_exit,        do_exit,       do_exit,  do_exit,
	do_add,       do_mark,      do_guest_write, do_discard,    do_track, do_read,
	do_run,       do_post,      do_signal,      do_turn,       do_fail,  do_reset,
	do_interrupt, do_exception, do_discard_all, do_connection,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The loop is kept: making an io_uring takes longer than using it. */
	static struct machine machine;
	struct machine *m = &machine;

	if (size == 0)
		return 0;
	if (!m->loop) {
		require(loop_new(64, &m->loop) == 0);
		m->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	memset(m->written, 0, sizeof(m->written));
	fake_kvm = (struct fake_kvm){ .input = data, .size = size };
	m->engine = fake_kvm_take(1) & 1 ? HVSHIM_ENGINE_USER : HVSHIM_ENGINE_KERNEL;
	fake_kvm_make(&m->vid);
	require(vid_memory_new(&m->memory) == 0);
	partition_make(m);
	for (unsigned i = 0; i < STEPS && fake_kvm.size > 0; i++)
		steps[fake_kvm_take(1) % ARRAY_SIZE(steps)](m);
	fake_kvm.fails = false;
	partition_end(m);
	vid_memory_free(m->memory);
	return 0;
}
