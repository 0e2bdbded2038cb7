/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call of a method of vmms, which may take long. While it lasts vmms is asked now and then
 * whether it is there, so that one which hangs is told from one which has much to do.
 */
#include "common/base/cleanup.h"
#include "vmms/vmctl/agent.h"
#include "vmms/vmctl/service.h"

#include <errno.h>

#define PERSON_TIMEOUT 600     /* seconds, at least, where somebody may have to find a password */
#define SECOND         1000000 /* microseconds */

struct call {
	struct invocation *invocation;
	sd_bus_message *reply; /* NULL: not yet */
	struct service_pinger pinger;
};

static int call_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	((struct call *)data)->reply = sd_bus_message_ref(reply);
	return 1;
}

static int call_wait(struct call *call)
{
	sd_bus *bus = call->invocation->bus;
	int r = 0;

	while (!call->reply && !call->pinger.hangs && r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r != 0)
			continue;
		r = service_pinger_ask(&call->pinger, call->invocation);
		if (r >= 0)
			r = sd_bus_wait(bus, SECOND);
		if (r == -EINTR)
			r = 0;
	}
	return r;
}

/* As of sd_bus_call(3), of which the answer is waited for otherwise. */
static int call_take_reply(struct call *call, sd_bus_error *error, sd_bus_message **ret_reply)
{
	if (call->pinger.hangs) {
		sd_bus_error_set_const(error, SERVICE_ERROR_HANGS, SERVICE_HANGS);
		return -ETIMEDOUT;
	}
	if (sd_bus_message_is_method_error(call->reply, NULL)) {
		int number = sd_bus_message_get_errno(call->reply);

		(void)sd_bus_error_copy(error, sd_bus_message_get_error(call->reply));
		return number > 0 ? -number : -EIO;
	}
	if (ret_reply)
		*ret_reply = sd_bus_message_ref(call->reply);
	return 0;
}

/* While it lasts, what else comes from the bus is dealt with, too. */
static int call_watch(struct invocation *invocation, sd_bus_message *message, uint64_t microseconds,
		      sd_bus_error *error, sd_bus_message **ret_reply)
{
	struct call call = { .invocation = invocation, .pinger = { .pinged = clock_boot() } };
	sd_bus_slot *slot = NULL;
	int r;

	r = sd_bus_call_async(invocation->bus, &slot, message, call_answered, &call, microseconds);
	if (r >= 0)
		r = call_wait(&call);
	if (r >= 0)
		r = call_take_reply(&call, error, ret_reply);
	service_pinger_deinit(&call.pinger);
	sd_bus_slot_unref(slot);
	sd_bus_message_unref(call.reply);
	return r;
}

/*
 * Short calls are made as ever: signals wait until they are over. Below a callback of the bus nothing
 * else can be waited for.
 */
static int call_make(struct invocation *invocation, sd_bus_message *message, unsigned timeout,
		     sd_bus_error *error, sd_bus_message **ret_reply)
{
	uint64_t microseconds = timeout * UINT64_C(1000000);

	if (timeout == SERVICE_NO_TIMEOUT)
		microseconds = UINT64_MAX;
	else if (invocation->may_ask)
		microseconds = MAX(microseconds, PERSON_TIMEOUT * UINT64_C(1000000));
	if ((timeout != SERVICE_NO_TIMEOUT && timeout <= SERVICE_TIMEOUT) ||
	    sd_bus_get_current_message(invocation->bus))
		return sd_bus_call(invocation->bus, message, microseconds, error, ret_reply);
	return call_watch(invocation, message, microseconds, error, ret_reply);
}

/* The same once more: a message that was sent cannot be sent again. */
static int call_copy_call(sd_bus *bus, sd_bus_message *call, sd_bus_message **ret_copy)
{
	int r;

	r = sd_bus_message_new_method_call(
		bus, ret_copy, sd_bus_message_get_destination(call), sd_bus_message_get_path(call),
		sd_bus_message_get_interface(call), sd_bus_message_get_member(call));
	if (r >= 0)
		r = sd_bus_message_rewind(call, true);
	return r >= 0 ? sd_bus_message_copy(*ret_copy, call, true) : r;
}

/* Only when polkit has found nobody to ask is an agent begun, which most calls do without. */
int service_call(struct invocation *invocation, sd_bus_message *call, unsigned timeout,
		 sd_bus_error *error, sd_bus_message **ret_reply)
{
	AUTO_MESSAGE sd_bus_message *again = NULL;
	int r;

	r = call_make(invocation, call, timeout, error, ret_reply);
	if (r >= 0 || !invocation->may_ask ||
	    !sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) ||
	    !agent_start(&invocation->agent))
		return r;
	r = call_copy_call(invocation->bus, call, &again);
	sd_bus_error_free(error);
	return r < 0 ? r : call_make(invocation, again, timeout, error, ret_reply);
}
