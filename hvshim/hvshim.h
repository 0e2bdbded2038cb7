/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Hyper-V personality of a partition: CPUID leaves, synthetic MSRs, hypercalls, SynIC, timers.
 *
 * Two engines behind this one header:
 *   in-kernel   KVM emulates Hyper-V (SynIC2): its leaves, SynIC, timers, reference TSC page and
 *               HvSignalEvent eventfds are used, and we see only messages;
 *   user-space  any other KVM: the leaves are ours, synthetic MSRs are exits, the hypercall page
 *               holds our own code, which turns the fast HvCallSignalEvent into an OUT that an
 *               ioeventfd catches in the kernel, and everything else into an OUT that exits.
 * Source: Hypervisor Top-Level Functional Specification (TLFS), chapters 2 (feature discovery),
 * 3 (hypercall interface), 11 (inter-partition communication) and 12 (timers).
 *
 * Threads: [loop] functions belong to the thread of the event loop, [vp] ones to the thread of the
 * vp they name. Callbacks run on the loop's thread.
 *
 * Errors: negative errno is a host fault; what a guest causes is a positive HVSHIM_E_ code, or an
 * HV_STATUS_ or #GP given back to the guest and not seen by the caller at all.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/loop.h"
#include "common/definition/definition.h"
#include "vid/vid.h"

#include <stdbool.h>
#include <stdint.h>

struct hvshim;

enum hvshim_engine {
	HVSHIM_ENGINE_AUTO, /* in-kernel where KVM has SynIC2, else user-space */
	HVSHIM_ENGINE_KERNEL,
	HVSHIM_ENGINE_USER,
};

enum {
	_HVSHIM_E_OK,
	HVSHIM_E_BUSY,      /* the message slot still holds a message */
	HVSHIM_E_NOT_READY, /* the guest has not enabled SynIC, SINT or page on that vp */
	HVSHIM_E_UNHANDLED, /* the exit is not Hyper-V's: try the chipset */
};

/* A message for the guest's SynIC, or from HvCallPostMessage. TLFS 11.6. */
#define HVSHIM_MESSAGE_PAYLOAD 240

struct hvshim_message {
	uint32_t type;
	uint32_t size; /* bytes of payload in use, at most HVSHIM_MESSAGE_PAYLOAD */
	uint8_t payload[HVSHIM_MESSAGE_PAYLOAD];
};

/* What the guest left when it crashed. TLFS 2.5, guest crash MSRs. */
struct hvshim_crash {
	uint64_t parameters[5];
	uint64_t control;
	size_t text_size; /* bytes of text; guest data, unchecked */
	char text[4096];
};

struct hvshim_callbacks {
	/*
	 * HvCallPostMessage on one of the connection ids given in message_connections; other ids
	 * get HV_STATUS_INVALID_CONNECTION_ID. At most 16 messages are kept waiting for the loop;
	 * beyond that the guest is told HV_STATUS_INSUFFICIENT_BUFFERS, and tries again.
	 */
	void (*message)(void *data, uint32_t connection_id, const struct hvshim_message *message);

	/* A message slot that was HVSHIM_E_BUSY may be free again. */
	void (*slot_free)(void *data, uint32_t vp);

	/* The guest wrote the crash control MSR. */
	void (*crash)(void *data, const struct hvshim_crash *crash);

	/* The guest asked for a reset through the reset MSR. */
	void (*reset)(void *data);
};

#define HVSHIM_MESSAGE_CONNECTIONS 4

struct hvshim_config {
	enum hvshim_engine engine;
	uint32_t vp_count;
	struct vid_partition *partition; /* borrowed; made with the flags hvshim_prepare() set */
	struct loop *loop;               /* borrowed */
	const struct hvshim_callbacks *callbacks;                 /* borrowed */
	void *data;                                               /* for the callbacks */
	uint32_t message_connections[HVSHIM_MESSAGE_CONNECTIONS]; /* take messages; 0: unused */

	/*
	 * What the guest is offered, as far as this host and engine have it: bits of
	 * enlightenment_bit().
	 *
	 * Synthetic timers work in either engine, but Linux prefers them to the LAPIC's TSC
	 * deadline timer, and that is worse: in the user-space engine arming one is an exit to user
	 * space; in the in-kernel engine it is an exit as before, but Linux arms the next timer
	 * before it ends the interrupt, and thereby loses KVM's exitless EOI: one exit more for
	 * each tick. They are for guests without use for a TSC deadline.
	 *
	 * The synthetic MSRs of the APIC are recommended where the CPU does not virtualise the APIC
	 * anyway: the guest then ends most interrupts without an exit. In the user-space engine
	 * that takes a KVM that has these MSRs itself (apic.c), and is worth it for a guest that is
	 * likely to run its APICs as x2APICs: one with xAPICs sends each interrupt to another vp by
	 * such an MSR, too, which is an exit to user space.
	 */
	uint32_t enlightenments;
	bool x2apic_guest; /* a guess, on which nothing but speed depends */

	/* The guest knows these enlightenments already: none is left out for being slower. */
	bool told_before;
};

/* Which engine AUTO means on this host, or whether the one asked for can be had: -ENOTSUP. */
int hvshim_choose_engine(struct vid *vid, enum hvshim_engine wanted,
			 enum hvshim_engine *ret_engine);
const char *hvshim_engine_name(enum hvshim_engine engine); /* "in-kernel", "user-space", "auto" */

/* Sets the members of a partition's configuration that the engine needs. */
void hvshim_prepare(enum hvshim_engine engine, struct vid_partition_config *config);

/* [loop] Engine AUTO is not accepted here. */
int hvshim_new(const struct hvshim_config *config, struct hvshim **ret_hvshim) MUST_CHECK;

/*
 * [loop] No vp may be running, nor run again before it is freed itself. Not from a callback. No
 * callback comes after this. Operations that the loop still has under way end in its next
 * iterations.
 */
void hvshim_free(struct hvshim *hvshim);
DEFINE_CLEANUP(struct hvshim *, hvshim_free)

/*
 * [loop] Once per vp, before it first runs: adds the Hyper-V leaves to `cpuid` (the vp's complete
 * leaves otherwise), gives the vp its leaves, and enables its SynIC.
 */
int hvshim_vp_attach(struct hvshim *hvshim, struct vid_vp *vp, struct vid_cpuid *cpuid) MUST_CHECK;

/*
 * [vp] Handles an exit of a vp: MSRs, hypercalls, SynIC, the hypercall ports.
 * Return: 0 if handled and answered; HVSHIM_E_UNHANDLED; -errno.
 */
int hvshim_exit(struct hvshim *hvshim, struct vid_vp *vp, const struct vid_exit *exit) MUST_CHECK;

/*
 * [loop] Puts a message into a SINT's slot and interrupts the vp.
 * Return: 0; HVSHIM_E_BUSY (slot_free will be called); HVSHIM_E_NOT_READY (it will not: the vp has
 * no SynIC; the message is best dropped); -errno.
 */
int hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			const struct hvshim_message *message) MUST_CHECK;

/* [loop] Sets an event flag (0 to 2047) and interrupts the vp if it was clear. */
void hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag);

/*
 * [loop] HvCallSignalEvent on connection_id adds 1 to event_fd, without an exit where the kernel
 * can. event_fd is borrowed until hvshim_connection_remove(). Return: 0, -EEXIST, -EINVAL (not a
 * 24-bit number), -ENOSPC (more than 2048 connections), -errno.
 */
int hvshim_connection_add(struct hvshim *hvshim, uint32_t connection_id, int event_fd) MUST_CHECK;
void hvshim_connection_remove(struct hvshim *hvshim, uint32_t connection_id);

/* ---- State ---- */

#define HVSHIM_STATE_RECORD "hypervisor"

/*
 * [loop] The vps have stopped: from now on nothing of the guest's is touched, no timer expires, and
 * no callback comes, until hvshim_resume().
 */
void hvshim_quiesce(struct hvshim *hvshim);

/*
 * [loop] Before the vps run (again): the reference time of what was restored runs on from where it
 * was, and timers that are due expire. After vid_vp_start() of all vps. Return: 0; -errno.
 */
int hvshim_resume(struct hvshim *hvshim) MUST_CHECK;

/*
 * [loop] The state, as records (common/base/state.h; hvshim/state.h). After hvshim_quiesce().
 * Return: 0; -EBUSY: the guest has crashed or asked for its reset, which has not been told yet;
 * -errno.
 */
struct state_reader;
struct state_writer;
struct state_refusal;
int hvshim_save(struct hvshim *hvshim, struct state_writer *writer) MUST_CHECK;

/*
 * [loop] A personality whose vps are attached, and have their registers and memory back, becomes as
 * the one that was saved, by whatever engine; it is quiet until hvshim_resume(). After an error it
 * can only be freed. Return: 0; -EINVAL: the state is refused, and *refusal says why; -errno.
 */
int hvshim_restore(struct hvshim *hvshim, const struct state_reader *reader,
		   struct state_refusal *refusal) MUST_CHECK;

/*
 * Which enlightenments the guest was told of: no others must be offered to it by whoever is to
 * restore it. Return: as hvshim_restore().
 */
int hvshim_state_enlightenments(const struct state_reader *reader, uint32_t *ret_enlightenments,
				struct state_refusal *refusal) MUST_CHECK;

/* The partition's reference time, which the guest sees too, in units of 100 ns. Any thread. */
uint64_t hvshim_reference_time(const struct hvshim *hvshim);

/* [loop] What vps are told of, once one is attached: bits of enlightenment_bit(). */
uint32_t hvshim_enlightenments(const struct hvshim *hvshim);

/* Exits by kind since the personality was made, over all vps. Any thread. */
struct hvshim_counters {
	uint64_t msr_exits, hypercall_exits, synic_exits, messages_posted, messages_busy,
		events_signalled, timers_expired, unknown_hypercalls;
	uint64_t discarded_pages; /* that the guest reported free, and the host has back */
	uint64_t discard_failures;
	uint64_t introductions; /* of the guest: its OS id and hypercall MSR; 0: KVM hides them */
};
void hvshim_counters(const struct hvshim *hvshim, struct hvshim_counters *ret_counters);

/*
 * [loop] What there is to see of the partition, and of a vp, as JSON; the vps run on, so that two
 * numbers may be of two moments. MSRs are those of the user-space engine; the others KVM keeps to
 * itself. New reference; NULL without memory, and for a vp that there is not.
 */
struct json_object;
struct json_object *hvshim_inspect(struct hvshim *hvshim);
struct json_object *hvshim_inspect_vp(struct hvshim *hvshim, uint32_t vp);
