/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to polkit. */
#include "vmms/polkit.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

#include <stdint.h>

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define FLAG_ALLOW_INTERACTION 1u
#define TIMEOUT                UINT64_C(25000000) /* microseconds, where no person is asked */

static enum polkit_answer read_answer(sd_bus_message *reply)
{
	int authorised = false, challenge = false;

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

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const struct polkit_question *question = data;

	question->answered(question->data, read_answer(reply));
	return 0;
}

/* (sa{sv}) subject, s action, a{ss} details, u flags, s cancellation */
static int append_question(sd_bus_message *call, const struct polkit_question *question)
{
	int r;

	r = sd_bus_message_append(call, "(sa{sv})s", "system-bus-name", 1, "name", "s",
				  question->sender, question->action);
	if (r >= 0)
		r = question->vm ? sd_bus_message_append(call, "a{ss}", 1, "vm", question->vm)
				 : sd_bus_message_append(call, "a{ss}", 0);
	if (r >= 0)
		r = sd_bus_message_append(call, "us",
					  question->interactive ? FLAG_ALLOW_INTERACTION : 0, "");
	return r;
}

int polkit_ask(sd_bus *bus, const struct polkit_question *question, sd_bus_slot **ret_slot)
{
	CLEANUP(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
					   "CheckAuthorization");
	if (r >= 0)
		r = append_question(call, question);
	if (r >= 0)
		r = sd_bus_call_async(bus, ret_slot, call, on_reply, (void *)question,
				      question->interactive ? UINT64_MAX : TIMEOUT);
	return r < 0 ? r : 0;
}
