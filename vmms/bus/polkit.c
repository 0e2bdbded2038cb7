/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to polkit. */
#include "vmms/bus/polkit.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define FLAG_ALLOW_INTERACTION 1u
#define SECOND                 UINT64_C(1000000) /* microseconds */
#define TIMEOUT                (25 * SECOND)     /* where no person is asked */

#define CANCELLATION_SIZE 32

/* By which polkit knows a question that is to be cancelled: one of ours, which nobody else's is. */
static void polkit_cancellation_id(const struct polkit_question *question,
				   char id[CANCELLATION_SIZE])
{
	snprintf(id, CANCELLATION_SIZE, "vmms-%" PRIu64, question->id);
}

/* sd-bus makes an error of its own where there is no reply in time. */
static bool polkit_is_late(sd_bus_message *reply)
{
	return sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NO_REPLY) ||
	       sd_bus_message_is_method_error(reply, SD_BUS_ERROR_TIMEOUT);
}

static enum polkit_answer polkit_read_answer(const struct polkit_question *question,
					     sd_bus_message *reply)
{
	int authorised = false, challenge = false;

	if (question->interactive && polkit_is_late(reply)) {
		polkit_cancel(sd_bus_message_get_bus(reply), question);
		return POLKIT_LATE;
	}
	if (sd_bus_message_is_method_error(reply, NULL)) {
		log_debug("polkit cannot be asked: %s", sd_bus_message_get_error(reply)->message);
		return POLKIT_ABSENT;
	}
	if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
	    sd_bus_message_read(reply, "bb", &authorised, &challenge) < 0)
		return POLKIT_ABSENT;
	if (authorised)
		return POLKIT_YES;
	return challenge ? POLKIT_CHALLENGE : POLKIT_NO;
}

static int polkit_on_reply(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const struct polkit_question *question = data;

	question->answered(question->data, polkit_read_answer(question, reply));
	return 0;
}

/* (sa{sv}) subject, s action, a{ss} details, u flags, s cancellation */
static int polkit_append_question(sd_bus_message *call, const struct polkit_question *question)
{
	char id[CANCELLATION_SIZE];
	int r;

	polkit_cancellation_id(question, id);
	r = sd_bus_message_append(call, "(sa{sv})s", "system-bus-name", 1, "name", "s",
				  question->sender, question->action);
	if (r >= 0)
		r = question->vm ? sd_bus_message_append(call, "a{ss}", 1, "vm", question->vm)
				 : sd_bus_message_append(call, "a{ss}", 0);
	if (r >= 0)
		r = sd_bus_message_append(call, "us",
					  question->interactive ? FLAG_ALLOW_INTERACTION : 0, id);
	return r;
}

int polkit_ask(sd_bus *bus, struct polkit_question *question, sd_bus_slot **ret_slot)
{
	static uint64_t last_id;
	CLEANUP(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	question->id = ++last_id;
	r = sd_bus_message_new_method_call(bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
					   "CheckAuthorization");
	if (r >= 0)
		r = polkit_append_question(call, question);
	if (r >= 0)
		r = sd_bus_call_async(bus, ret_slot, call, polkit_on_reply, question,
				      question->interactive ? question->timeout * SECOND : TIMEOUT);
	return r < 0 ? r : 0;
}

void polkit_cancel(sd_bus *bus, const struct polkit_question *question)
{
	char id[CANCELLATION_SIZE];

	polkit_cancellation_id(question, id);
	(void)sd_bus_call_method_async(bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
				       "CancelCheckAuthorization", NULL, NULL, "s", id);
}
