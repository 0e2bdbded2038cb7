/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside a storage controller: what its files share.
 *
 *   storage.c          the controller as the worker sees it
 *   storvsp.c          channels, packets, and the negotiation
 *   storvsp_request.c  requests: their pool, and SRBs on their way to the SCSI target and back
 *   storage_state.c    quiet, and the state as a record
 */
#pragma once

#include "common/base/list.h"
#include "common/wire/ring.h"
#include "common/wire/storvsp.h"
#include "vsp/storage/scsi.h"
#include "vsp/storage/storage.h"
#include "vsp/vmbus/vmbus.h"

#define STORVSP_TRANSFER_MAX (1u << 20) /* bytes of one request */
#define STORVSP_PAGE_MAX     (STORVSP_TRANSFER_MAX / HV_PAGE_SIZE + 1)
#define STORVSP_REQUEST_MAX  256 /* under way in one controller */

/*
 * One packet from the guest, from receiving it to having sent the reply. Only the beginning of the
 * two long arrays is touched by a short transfer.
 */
struct storvsp_request {
	struct list link; /* of free requests, unsent replies or waiting resets */
	struct device_channel *channel;
	uint64_t transaction_id;
	uint32_t size; /* of the guest's packet, and so of the reply */
	bool completion_requested;
	bool executing;               /* the command is in the SCSI target */
	bool restored;                /* it was, where the state was taken, and will be */
	struct storvsp_packet packet; /* the guest's, turned into the reply */
	struct scsi_command command;
	unsigned extent_count; /* of the guest's buffer */
	struct vmbus_extent extents[STORVSP_PAGE_MAX];
	struct iovec iov[STORVSP_PAGE_MAX];
};

/* How far the guest has come on the primary channel. Bits, so that a handler can accept several. */
enum storvsp_state {
	STORVSP_CLOSED = 0x01,
	STORVSP_OPENED = 0x02,
	STORVSP_BEGUN = 0x04,
	STORVSP_VERSIONED = 0x08,
	STORVSP_READY = 0x10,
};

struct storage_controller {
	struct vmbus *bus;
	struct loop *loop;
	struct storage_options options;
	struct scsi_target *target;
	struct loop_deferred iteration;

	enum storvsp_state state;
	struct device_channels channels;
	struct device_channel *primary; /* NULL: it is not offered */
	uint16_t sub_channel_max;
	uint16_t sub_channels_wanted; /* to be offered when the guest has seen the reply */
	bool enumerate_wanted;        /* the guest is to be told that units have changed */
	bool commanded;               /* it had a command since the negotiation */

	struct storvsp_request *requests; /* STORVSP_REQUEST_MAX */
	unsigned fresh;                   /* those from here on were never used */
	struct list free;
	struct list resets; /* requests that wait for the end of what they reset */

	uint64_t commands, refused;

	/* Quiet: storage_state.c. */
	bool frozen;                  /* replies wait for storage_controller_resume() */
	void (*quiesced)(void *data); /* to be called when nothing is under way any more */
	void *quiesced_data;
	uint64_t quiesce_end; /* or by then, by loop_now() */
	struct loop_timer quiesce_timer;
	bool quiesce_timer_runs;
};

/* ---- storvsp.c ---- */

int storvsp_channel_new(struct storage_controller *controller, uint16_t sub_channel_index,
			struct device_channel **ret_channel) MUST_CHECK;

static inline struct storage_controller *storvsp_controller(const struct device_channel *channel)
{
	return container_of(channel->all, struct storage_controller, channels);
}

/* What is left to do after this iteration's callbacks; see storvsp.c. */
void storvsp_iteration(struct loop_deferred *deferred);

/* Asks for such an iteration. */
static inline void storvsp_defer(struct storage_controller *controller)
{
	loop_defer(controller->loop, &controller->iteration);
}

/* No new requests are to be taken now. */
static inline bool storvsp_holds(const struct storage_controller *controller)
{
	return !list_empty(&controller->resets);
}

static inline bool storvsp_is_closing(const struct storage_controller *controller)
{
	return controller->primary && controller->primary->closing;
}

/* The guest is to look for units again. */
void storvsp_enumerate(struct storage_controller *controller);

/* ---- storvsp_request.c ---- */

/* NULL: all are taken. */
struct storvsp_request *storvsp_request_take(struct device_channel *channel);
void storvsp_request_free(struct storvsp_request *request);

/* Sends request->packet as the reply, now or when there is room, and frees the request. */
void storvsp_request_reply(struct storvsp_request *request, uint32_t status);

/* Sends what could not be sent, as far as there is room. */
void storvsp_send_unsent(struct device_channel *channel);

extern const struct device_channels_ops storvsp_answer_ops;

/*
 * Cuts short the commands that came by a channel (NULL: any) and are for a unit (-1: all), and ends
 * those that have nothing under way. Return: how many are left.
 */
unsigned storvsp_abort(struct storage_controller *controller, const struct device_channel *channel,
		       int lun);

/*
 * Makes the command of a request whose buffer is mapped. Return: 0; VMBUS_E_INVALID: it makes no
 * sense.
 */
int storvsp_request_prepare(struct storvsp_request *request) MUST_CHECK;

/* EXECUTE_SRB. vmbus_packet: the packet it came in. */
void storvsp_execute(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet);

/* ---- storage_state.c ---- */

/* The channel (NULL: any) closes before what waits for storage_controller_resume() is done. */
void storage_drop_restored(struct storage_controller *controller,
			   const struct device_channel *channel);

/* An iteration is over: perhaps nothing is under way any more. */
void storage_try_quiesced(struct storage_controller *controller);

/* loop_complete_fn of `quiesce_timer`. */
void storage_quiesce_over(struct loop_operation *operation, int result, bool more);
