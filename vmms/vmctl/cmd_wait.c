/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl wait: until a VM, or its guest, is as far as it is asked for.
 *
 * A VM that has run and does not any more will not get there by itself: that ends the waiting, too.
 */
#include "common/wire/exec.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/subscription.h"
#include "vmms/vmctl/table.h"
#include "vmms/vmctl/vm_info.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_INTERVAL    500000 /* microseconds, at most, between two looks */
#define TIMEOUT_MAX      (7 * 24 * 3600)
#define ADDRESSES_SIZE   512
#define AGENT_TIMEOUT_US 10000000

struct waiting {
	struct invocation *invocation;
	const char *path;
	struct vm_info info; /* as it was at the last look */
};

static bool wait_is_running(struct waiting *waiting)
{
	return strcmp(waiting->info.state, "running") == 0;
}

static bool wait_is_off(struct waiting *waiting)
{
	return strcmp(waiting->info.state, "off") == 0 ||
	       strcmp(waiting->info.state, "crashed") == 0;
}

static bool wait_has_heartbeat(struct waiting *waiting)
{
	return wait_is_running(waiting) && strncmp(waiting->info.heartbeat, "ok", 2) == 0;
}

static bool wait_has_address(struct waiting *waiting)
{
	char addresses[ADDRESSES_SIZE];

	vm_info_format_addresses(&waiting->info, NULL, addresses, sizeof(addresses));
	return wait_is_running(waiting) && addresses[0] != '\0';
}

/* Somebody listens at its port; what is said to them is nothing. */
static bool wait_has_agent(struct waiting *waiting)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	if (!wait_is_running(waiting) ||
	    service_new_call(waiting->invocation, waiting->path, "OpenSocket", &call) != STATUS_OK)
		return false;
	r = sd_bus_message_append(call, "u", (uint32_t)EXEC_PORT);
	if (r >= 0)
		r = sd_bus_call(waiting->invocation->bus, call, AGENT_TIMEOUT_US, &error, &reply);
	sd_bus_error_free(&error);
	return r >= 0;
}

static const struct {
	const char *word;
	bool (*is_there)(struct waiting *waiting);
	const char *said; /* of the VM, then */
} goals[] = {
	{ "running", wait_is_running, "runs" },
	{ "heartbeat", wait_has_heartbeat, "has a heartbeat" },
	{ "agent", wait_has_agent, "has its agent" },
	{ "address", wait_has_address, "has addresses: " },
	{ "off", wait_is_off, "is " },
};

static uint64_t wait_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static enum status wait_look(struct waiting *waiting)
{
	vm_info_deinit(&waiting->info);
	return vm_info_get(waiting->invocation, waiting->path, &waiting->info);
}

static enum status wait_conclude(struct waiting *waiting, size_t goal)
{
	char text[ADDRESSES_SIZE] = "";

	if (goals[goal].is_there == wait_has_address)
		vm_info_format_addresses(&waiting->info, NULL, text, sizeof(text));
	else if (goals[goal].is_there == wait_is_off)
		snprintf(text, sizeof(text), "%s", waiting->info.state);
	output_say(waiting->invocation, "VM '%s' %s%s", waiting->info.name, goals[goal].said, text);
	if (waiting->invocation->json && json_print(vm_info_to_json(&waiting->info)) < 0)
		return service_failed(-ENOMEM, NULL);
	return STATUS_OK;
}

static enum status wait_give_up(struct waiting *waiting)
{
	AUTO_FREE char *reason =
		text_escape_new(waiting->info.reason, strlen(waiting->info.reason));

	fprintf(stderr, "vmctl: VM '%s' is %s%s%s\n", waiting->info.name, waiting->info.state,
		reason && reason[0] != '\0' ? ": " : "", reason ? reason : "");
	return STATUS_WRONG_STATE;
}

/* Signals may not come, and only say that another look is worth while. */
static int wait_pause_until(struct waiting *waiting, uint64_t end)
{
	sd_bus *bus = waiting->invocation->bus;
	uint64_t time = wait_now(), left = end > time ? end - time : 0;
	int r;

	do
		r = sd_bus_process(bus, NULL);
	while (r > 0);
	if (r == 0)
		r = sd_bus_wait(bus, MIN(left, (uint64_t)LOOK_INTERVAL));
	return r == -EINTR ? 0 : r;
}

static enum status wait_for(struct waiting *waiting, size_t goal, uint64_t end)
{
	bool was_up = false;
	enum status status;
	int r;

	for (;;) {
		status = wait_look(waiting);
		if (status != STATUS_OK)
			return status;
		if (goals[goal].is_there(waiting))
			return wait_conclude(waiting, goal);
		if (was_up && wait_is_off(waiting))
			return wait_give_up(waiting);
		was_up = was_up || !wait_is_off(waiting);
		if (wait_now() >= end) {
			fprintf(stderr, "vmctl: VM '%s' is %s, and not as far as '%s' in time\n",
				waiting->info.name, waiting->info.state, goals[goal].word);
			return STATUS_TIMEOUT;
		}
		r = wait_pause_until(waiting, end);
		if (r < 0)
			return service_failed(r, NULL);
	}
}

static enum status wait_listen_to_vm(struct waiting *waiting)
{
	int r = sd_bus_match_signal(waiting->invocation->bus, NULL, DBUS_NAME, waiting->path,
				    "org.freedesktop.DBus.Properties", "PropertiesChanged", NULL,
				    NULL);

	if (r >= 0)
		r = subscription_begin(waiting->invocation);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status command_wait(struct invocation *invocation)
{
	const char *word = invocation_value(invocation, "for") ?: goals[0].word;
	struct waiting waiting = { .invocation = invocation };
	unsigned timeout = 0;
	AUTO_FREE char *path = NULL;
	enum status status;
	size_t goal = 0;

	while (goal < ARRAY_SIZE(goals) && strcmp(goals[goal].word, word) != 0)
		goal++;
	if (goal == ARRAY_SIZE(goals))
		return usage_error(invocation,
				   "--for must be running, heartbeat, agent, address or off, not "
				   "'%s'",
				   word);
	if (!invocation_number(invocation, "timeout", TIMEOUT_MAX, &timeout))
		return STATUS_USAGE;
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	waiting.path = path;
	if (status == STATUS_OK)
		status = wait_listen_to_vm(&waiting);
	if (status == STATUS_OK)
		status = wait_for(&waiting, goal,
				  invocation_has(invocation, "timeout")
					  ? wait_now() + timeout * UINT64_C(1000000)
					  : UINT64_MAX);
	vm_info_deinit(&waiting.info);
	return status;
}
