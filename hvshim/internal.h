/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of hvshim/ share.
 *
 * State that a guest can see, and that a saved guest must find again, is kept apart from what we
 * make of it (struct ..._state): plain numbers, no pointers.
 *
 * Locks, in the order they are taken: hvshim.lock (partition-wide state), vp.lock (SynIC and timers
 * of a vp), hvshim.connections_lock, hvshim.messages_lock. No callback runs under a lock.
 */
#pragma once

#include "common/base/loop.h"
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "hvshim/state.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

struct hvshim_vp;

#define HVSHIM_CONNECTIONS_MAX     2048
#define HVSHIM_MESSAGE_QUEUE_DEPTH 16

/* Guest-visible faults. */
enum {
	_HVSHIM_MSR_E_OK,
	HVSHIM_MSR_E_FAULT, /* #GP */
};

/* ---- Engines ---- */

/* The two implementations: engine_kernel.c and engine_user.c. All members are required. */
struct hvshim_engine_ops {
	void (*prepare)(struct vid_partition_config *config);

	/* Once per vp; the leaves are complete but for Hyper-V's. */
	int (*attach)(struct hvshim_vp *vp, struct vid_cpuid *cpuid);

	/* Return: 0; HVSHIM_E_UNHANDLED; -errno. */
	int (*exit)(struct hvshim_vp *vp, const struct vid_exit *exit);

	/*
	 * The host wants to use a SINT that is not open. Caller holds vp->lock. Return: 0, and it
	 * is open now; HVSHIM_E_NOT_READY; -errno.
	 */
	int (*open_sint)(struct hvshim_vp *vp, uint32_t sint);

	/* Signals on connection_id go to event_fd within the kernel. -errno: they exit. */
	int (*connect)(struct hvshim *hvshim, uint32_t connection_id, int event_fd);
	void (*disconnect)(struct hvshim *hvshim, uint32_t connection_id, int event_fd);

	uint64_t (*reference_time)(const struct hvshim *hvshim);

	/*
	 * What each keeps where it pleases, in and out of the stored form. Caller holds
	 * hvshim.lock, or vp->lock. Return: 0; -EINVAL and *refusal; -errno.
	 */
	int (*save)(struct hvshim *hvshim, struct hvshim_partition_state *state);
	int (*save_vp)(struct hvshim_vp *vp, struct hvshim_vp_state *state);
	int (*restore)(struct hvshim *hvshim, const struct hvshim_partition_state *state,
		       struct state_refusal *refusal);
	int (*restore_vp)(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
			  struct state_refusal *refusal);

	/* The reference time runs on from `time`. Caller holds hvshim.lock. */
	int (*start)(struct hvshim *hvshim, uint64_t time);
};

extern const struct hvshim_engine_ops hvshim_engine_kernel, hvshim_engine_user;

/* ---- SynIC ---- */

struct synic_state {
	uint64_t control, siefp, simp;
	uint64_t sints[HV_SINT_COUNT]; /* user-space engine only; KVM keeps its own */
};

/* Waiting for an EOI, by which the in-kernel engine learns that a slot may be free. */
enum synic_poll { SYNIC_POLL_IDLE, SYNIC_POLL_ARMED, SYNIC_POLL_CANCELLED };

struct synic_sint {
	struct hvshim_vp *vp;
	bool open;                       /* takes messages and flags: has an interrupt */
	struct vid_interrupt *interrupt; /* NULL until it is first opened */
	struct loop_operation eoi;
	enum synic_poll poll; /* loop */
};

struct synic {
	struct synic_state state;
	struct hv_message_page *messages;   /* NULL unless enabled, by SCONTROL too */
	struct hv_event_flags_page *events; /* NULL likewise */
	struct synic_sint sints[HV_SINT_COUNT];
	atomic_uint waiting; /* bitmap of SINTs whose slot was found taken */
	atomic_uint raised;  /* bitmap of SINTs with an automatic end, to be injected: state, too */
};

int synic_write_control(struct hvshim_vp *vp, uint64_t value);
int synic_write_event_page(struct hvshim_vp *vp, uint64_t value);
int synic_write_message_page(struct hvshim_vp *vp, uint64_t value);
int synic_write_sint(struct hvshim_vp *vp, uint32_t sint, uint64_t value);

/* [vp] The guest has freed a slot, or says so. */
void synic_end_of_message(struct hvshim_vp *vp);

/* [loop] Looks which slots are free again, and tells those who wait. */
void synic_check(struct hvshim_vp *vp);

/*
 * [loop] Fills a SINT's slot and interrupts. message: as it lies in the slot. Caller holds
 * vp->lock. Return: 0; HVSHIM_E_BUSY; HVSHIM_E_NOT_READY; -errno.
 */
int synic_deliver(struct hvshim_vp *vp, uint32_t sint, const struct hv_message *message);

/* Bitmap of the SINTs whose slot holds a message. Caller holds vp->lock. */
uint32_t synic_taken_slots(const struct hvshim_vp *vp);
void synic_init(struct hvshim_vp *vp);
void synic_stop(struct hvshim_vp *vp); /* cancels what the loop has under way */
void synic_deinit(struct hvshim_vp *vp);
bool synic_is_idle(const struct hvshim_vp *vp);

/*
 * Of a vp that is restored: its registers, without the pages being zeroed. A page that is not RAM
 * takes nothing. Caller holds vp->lock.
 */
void synic_restore_pages(struct hvshim_vp *vp, const struct hvshim_vp_state *state);
int synic_restore_sints(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
			struct state_refusal *refusal);

/* [loop] Every SINT for which there is something to be found is raised: it may be once too often. */
void synic_raise_again(struct hvshim_vp *vp);

/* ---- Interrupts with automatic end (user-space engine) ---- */

struct auto_eoi {
	atomic_uint doublings; /* of the time until it is tried again, since it was taken */
	struct loop_timer retry;
	bool waits; /* loop: the timer runs */
};

/* Any thread. */
void auto_eoi_raise(struct hvshim_vp *vp, uint32_t sint);

/* [vp] Return: whether it was raised, and not taken yet. */
bool auto_eoi_forget(struct hvshim_vp *vp, uint32_t sint);

/* [vp] It has been kicked. Return: 0; HVSHIM_E_UNHANDLED: not for this; -errno. */
int auto_eoi_exit(struct hvshim_vp *vp);

/* [loop] Kicks a vp again that could not take what is raised, before long. */
void auto_eoi_check(struct hvshim_vp *vp);
void auto_eoi_stop(struct hvshim_vp *vp);

/* ---- Synthetic timers (user-space engine) ---- */

struct stimer_state {
	uint64_t config, count;
	uint64_t expiration; /* reference time; meaningful while enabled */
	bool undelivered;    /* expired, and its message waits for a free slot */
};

struct stimers {
	struct stimer_state state[HV_STIMER_COUNT];
	struct vid_interrupt *interrupts[HV_STIMER_COUNT]; /* of timers in direct mode */
	int fd;                                            /* timerfd of the first to expire */
	struct loop_operation operation;
	bool polling; /* loop */
};

int stimers_init(struct hvshim_vp *vp);
void stimers_stop(struct hvshim_vp *vp);
void stimers_deinit(struct hvshim_vp *vp);
int stimer_write_config(struct hvshim_vp *vp, uint32_t timer, uint64_t value);
int stimer_write_count(struct hvshim_vp *vp, uint32_t timer, uint64_t value);

/* [loop] Caller holds vp->lock. */
void stimers_expire(struct hvshim_vp *vp);

/* [loop] Caller holds vp->lock. */
void stimers_disarm(struct hvshim_vp *vp);
void stimers_save(const struct hvshim_vp *vp, struct hvshim_vp_state *state);
int stimers_restore(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
		    struct state_refusal *refusal);

/* ---- The objects ---- */

struct hvshim_vp {
	struct hvshim *hvshim;
	struct vid_vp *vp; /* NULL until attached */
	uint32_t index;
	uint64_t vp_assist_page;

	pthread_mutex_t lock; /* of the two below */
	struct synic synic;
	struct stimers stimers;

	struct auto_eoi auto_eoi;
	struct loop_task slot_task; /* looks at the slots, and at what is raised */
};

/* A page of the guest's that the hypervisor's contents hide while it is enabled. */
struct overlay {
	gpa_t gpa;
	uint8_t *below; /* what the guest had there; NULL while not laid over */
};

/* Lays contents (size bytes, then zeros) over a page. Return: 0; HVSHIM_MSR_E_FAULT; -errno. */
int overlay_enable(struct overlay *overlay, struct vid_memory *memory, gpa_t gpa,
		   const void *contents, size_t size);
void overlay_disable(struct overlay *overlay, struct vid_memory *memory);

/*
 * A page that was laid over before it was saved: the contents are in place. below: a page, or NULL:
 * what lies there now. Return: 0; HVSHIM_MSR_E_FAULT; -errno.
 */
int overlay_restore(struct overlay *overlay, struct vid_memory *memory, gpa_t gpa,
		    const void *below);

struct hvshim_state {
	uint64_t guest_os_id, hypercall, reference_tsc, tsc_invariant;
	uint64_t crash_parameters[HVSHIM_CRASH_PARAMETERS];
};

/* Once from_tsc: reference time = (guest tsc * scale >> 64) + offset. */
struct clock_state {
	uint64_t tsc_hz, scale;
	uint64_t tsc_offset; /* guest TSC minus host TSC */
	uint64_t offset;     /* set before from_tsc, and again before vps run on */
	atomic_bool from_tsc;
};

struct connection {
	uint32_t id;
	int event_fd;   /* borrowed */
	bool in_kernel; /* the kernel signals event_fd by itself */
};

struct message_queue {
	uint32_t connection_id; /* 0: none */
	unsigned first, count;
	struct hvshim_message messages[HVSHIM_MESSAGE_QUEUE_DEPTH];
};

/* Matters a vp hands to the loop, besides messages. */
enum {
	HVSHIM_EVENT_CRASH = 1,
	HVSHIM_EVENT_RESET = 2,
};

struct hvshim {
	const struct hvshim_engine_ops *ops;
	enum hvshim_engine engine;
	struct vid_partition *partition;
	struct vid_memory *memory;
	struct loop *loop;
	const struct hvshim_callbacks *callbacks;
	void *data;
	uint32_t wanted, told; /* enlightenments: of the definition, and of the CPUID */
	bool synthetic_timers, apic_msrs;

	pthread_mutex_t lock; /* of what follows */
	struct hvshim_state state;
	struct clock_state clock;
	struct overlay hypercall_page, reference_tsc_page;
	struct hvshim_crash *crash; /* the last, until the callback has it */

	pthread_mutex_t connections_lock;
	struct connection *connections; /* sorted by id */
	size_t connection_count, connection_capacity;

	pthread_mutex_t messages_lock;
	struct message_queue queues[HVSHIM_MESSAGE_CONNECTIONS];

	struct loop_task task;   /* delivers messages and events */
	atomic_uint events;      /* HVSHIM_EVENT_ */
	struct loop_timer retry; /* looks at the slots that somebody waits for */
	uint64_t retry_delay_ns; /* 0: not running */

	bool quiet;             /* loop: hvshim_quiesce() */
	bool time_waits;        /* it was restored, and hvshim_resume() has not come */
	uint64_t restored_time; /* reference time meanwhile */
	enum hvshim_engine restored_from;
	const uint8_t *restored_pages[2]; /* during the restore: below hypercall and TSC page */

	bool freed;     /* the owner let go; the loop still has operations */
	unsigned calls; /* depth of our functions on the loop's stack */

	struct {
		atomic_uint_fast64_t msr_exits, hypercall_exits, synic_exits, messages_posted,
			messages_busy, events_signalled, timers_expired, unknown_hypercalls,
			introductions, discarded_pages, discard_failures;
	} counters;

	uint32_t vp_count;
	struct hvshim_vp vps[];
};

static inline bool hvshim_wants(const struct hvshim *hvshim, enum enlightenment enlightenment)
{
	return hvshim->wanted & enlightenment_bit(enlightenment);
}

/* Brackets what runs on the loop's thread; the last to leave a freed personality releases it. */
void hvshim_enter(struct hvshim *hvshim);
void hvshim_leave(struct hvshim *hvshim);

/* [loop] Sees to it that slots somebody waits for are looked at before long. */
void hvshim_retry_later(struct hvshim *hvshim);

/* [vp] */
void hvshim_raise(struct hvshim *hvshim, unsigned event);

/* ---- MSRs, hypercalls, connections ---- */

/* Handles an MSR exit. Return: 0; HVSHIM_E_UNHANDLED; -errno. */
int msr_exit(struct hvshim_vp *vp, const struct vid_exit *exit);

/*
 * The APIC's MSRs of the user-space engine: EOI, ICR and TPR. Return as msr_exit()'s table has it.
 */
int apic_read(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value);
int apic_write(struct hvshim_vp *vp, uint32_t index, uint64_t value);
int apic_write_assist_page(struct hvshim_vp *vp, uint64_t value);

/* Return: the result value of the hypercall: its status, and the repetitions that are done. */
uint64_t hypercall_dispatch(struct hvshim_vp *vp, uint64_t input, const uint64_t params[2]);

struct hypercall_input {
	uint64_t value;
	uint64_t params[2]; /* GPAs of the parameter blocks; or, in the fast form, the parameters */
};

/*
 * The guest's parameter block: aligned, and in one page. Copied out of its memory, so that what is
 * checked is what is used; and into it.
 */
enum hv_status hypercall_input_copy(struct hvshim_vp *vp, uint64_t address, void *block,
				    size_t size);
enum hv_status hypercall_output_copy(struct hvshim_vp *vp, uint64_t address, const void *block,
				     size_t size);

/* Extended hypercalls. */
uint64_t hypercall_query_capabilities(struct hvshim_vp *vp, const struct hypercall_input *input);
uint64_t hypercall_memory_heat_hint(struct hvshim_vp *vp, const struct hypercall_input *input);

/* HvCallSignalEvent, given its 8 bytes of input. */
uint64_t hypercall_signal_event(struct hvshim_vp *vp, uint64_t argument);

/*
 * Ports that the hypercall page of the user-space engine writes to. EAX of the first is a connection
 * id; it is caught by doorbells where there are any.
 */
#define HYPERCALL_PORT_SIGNAL 0xe4
#define HYPERCALL_PORT_64     0xe5 /* a hypercall in the 64-bit calling convention */
#define HYPERCALL_PORT_32     0xe6 /* a hypercall in the 32-bit one */

/* The code of the hypercall page, for a guest that runs in 64-bit mode or not. */
const uint8_t *hypercall_page_code(bool long_mode, size_t *ret_size);

/*
 * Whether a vp is somewhere inside the hypercall page (at its first byte it has yet to call).
 * Return: 0; -errno.
 */
int hypercall_page_holds_vp(const struct hvshim_vp *vp, gpa_t page, bool *ret_holds);

/* Whether the vp runs 64-bit code. */
int vp_in_long_mode(struct hvshim_vp *vp, bool *ret_long);

/* Handles an OUT to one of the ports. Return: 0; HVSHIM_E_UNHANDLED; -errno. */
int hypercall_page_exit(struct hvshim_vp *vp, const struct vid_exit *exit);

int connection_signal(struct hvshim *hvshim, uint32_t id); /* -ENOENT */
enum hv_status message_queue_post(struct hvshim *hvshim, const struct hv_post_message *post);
void message_queues_deliver(struct hvshim *hvshim);
uint32_t message_queues_save(struct hvshim *hvshim, struct state_writer *writer);
int message_queues_restore(struct hvshim *hvshim, struct state_record *record, uint32_t count,
			   struct state_refusal *refusal);

/* ---- CPUID, clock, crash ---- */

int cpuid_add_user(struct hvshim_vp *vp, struct vid_cpuid *cpuid);
int cpuid_add_kernel(struct hvshim_vp *vp, struct vid_cpuid *cpuid);

int clock_init(struct hvshim *hvshim, struct vid_vp *vp);
uint64_t clock_now(const struct hvshim *hvshim);
void clock_fill_page(struct hvshim *hvshim, struct hv_reference_tsc_page *page);

/* What time it was is what time it is, and the guest's page agrees. Caller holds hvshim->lock. */
int clock_start(struct hvshim *hvshim, uint64_t time);

/* The guest wrote the crash control MSR: takes down what it left. */
void crash_capture(struct hvshim *hvshim, uint64_t control);
