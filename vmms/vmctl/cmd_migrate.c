/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl migrate: a VM goes to another host while its guest runs.
 *
 * ssh runs 'vmctl receive' there (vmms/vmctl/migration.h). The move itself is a job of vmms here: the two
 * daemons are introduced to each other (migrate_tcp.c), or, where they do not reach each other, ssh's
 * connection becomes the workers'.
 */
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/migrate.h"
#include "vmms/vmctl/migrate_internal.h"
#include "vmms/vmctl/migration.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/definition/definition.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SECONDS_MAX (7 * 24 * 3600)

/* ---- What was asked for ---- */

/* Options name the bus here; there it is that host's vmms. */
static enum status migrate_read_host(struct migration *migration)
{
	struct invocation *invocation = migration->invocation, *there = &migration->there;

	there->command = invocation->command;
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, "no-ask-password") == 0)
			there->options[there->option_count++] = invocation->options[i];
	}
	if (remote_host_parse(migration->host, &there->host) < 0)
		return usage_error(invocation, "'%s' is not [USER@]HOST or [USER@]HOST:PORT",
				   migration->host);
	return STATUS_OK;
}

static enum status migrate_read_options(struct migration *migration)
{
	struct invocation *invocation = migration->invocation;

	if (!invocation_number(invocation, "bandwidth", UINT_MAX, &migration->bandwidth) ||
	    !invocation_number(invocation, "max-downtime", UINT_MAX, &migration->max_downtime) ||
	    !invocation_number(invocation, "timeout", SECONDS_MAX, &migration->timeout))
		return STATUS_USAGE;
	return migrate_read_host(migration);
}

/* ---- The VM as it is here ---- */

static enum status migrate_get_text(const struct migration *migration, const char *property,
				    char **ret_text)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_get_property_string(migration->invocation->bus, DBUS_NAME, migration->path,
					   DBUS_INTERFACE_VM, property, &error, ret_text);

	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static enum status migrate_read_definition(struct migration *migration)
{
	AUTO_FREE char *running = NULL, *stored = NULL;
	struct json_error why;
	enum status status;

	status = migrate_get_text(migration, "RunningDefinition", &running);
	if (status == STATUS_OK)
		status = migrate_get_text(migration, "Definition", &stored);
	if (status != STATUS_OK)
		return status;
	if (json_parse(running, strlen(running), &migration->definition, &why) < 0)
		return service_failed(-EBADMSG, NULL);
	if (strcmp(running, stored) != 0)
		json_append_format(
			&migration->findings,
			"changes of its definition wait for its next start, and would be lost: "
			"'vmctl show' lists them; shut it down and start it, or take them back");
	return STATUS_OK;
}

static enum status migrate_find_vm(struct migration *migration)
{
	AUTO_FREE char *state = NULL;
	enum status status;

	status = service_find_vm(migration->invocation, migration->name, &migration->path);
	if (status == STATUS_OK)
		status = migrate_get_text(migration, "State", &state);
	if (status != STATUS_OK)
		return status;
	if (strcmp(state, "running") != 0) {
		AUTO_FREE char *name = text_escape_new(migration->name, strlen(migration->name));

		fprintf(stderr, "vmctl: VM '%s' is %s, and only one that runs is moved; %s\n",
			name ? name : "", state,
			strcmp(state, "paused") == 0
				? "resume it first"
				: "'vmctl export' and 'vmctl create --from' take its definition to "
				  "another host");
		return STATUS_WRONG_STATE;
	}
	return migrate_read_definition(migration);
}

/* ---- Switches ---- */

/* What --to-switch makes of the switch of that name here. NULL: nothing. */
static const char *migrate_other_switch(const struct invocation *invocation, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value;

		if (strcmp(invocation->options[i].row->name, "to-switch") == 0 &&
		    strncmp(value, name, length) == 0 && value[length] == '=')
			return value + length + 1;
	}
	return NULL;
}

static enum status migrate_check_switch_options(struct invocation *invocation)
{
	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value, *equals;

		if (strcmp(invocation->options[i].row->name, "to-switch") != 0)
			continue;
		equals = strchr(value, '=');
		if (!equals || equals == value || equals[1] == '\0')
			return usage_error(invocation,
					   "--to-switch takes HERE=THERE, names of two switches, "
					   "not '%s'",
					   value);
	}
	return STATUS_OK;
}

static enum status migrate_change_switches(struct migration *migration)
{
	struct invocation *invocation = migration->invocation;
	struct json_object *adapters =
		json_object_object_get(migration->definition, "network_adapters");
	enum status status = migrate_check_switch_options(invocation);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < json_array_size(adapters); i++) {
		struct json_object *adapter = json_object_array_get_idx(adapters, i);
		struct json_object *name = json_object_object_get(adapter, "switch");
		const char *other =
			json_object_is_type(name, json_type_string)
				? migrate_other_switch(invocation, json_object_get_string(name))
				: NULL;

		if (other)
			json_add(&adapter, "switch", json_object_new_string(other));
	}
	return STATUS_OK;
}

/* ---- What is in the way ---- */

/*
 * What one host has written of a file may be in its memory for long, where the other does not look
 * for it. On one host both look into the same memory.
 */
static void migrate_look_at_disk(struct migration *migration, struct json_object *disk,
				 bool same_host)
{
	const char *path = json_member_text(disk, "path");
	bool read_only = json_object_get_boolean(json_object_object_get(disk, "read_only"));

	if (path[0] == '\0')
		return;
	if (strcmp(json_member_text(disk, "format"), "raw") != 0)
		json_append_format(
			&migration->findings,
			"the disk '%s' is not raw: an image of another format cannot be moved "
			"while it is in use",
			path);
	if (!same_host && !read_only &&
	    strcmp(json_member_text(disk, "cache"),
		   definition_cache_names[DEFINITION_CACHE_DIRECT]) != 0)
		json_append_format(
			&migration->findings,
			"the disk '%s' has the cache mode '%s', in which another host may not see "
			"what was written: shut the VM down, and give it 'direct' ('vmctl edit')",
			path, json_member_text(disk, "cache"));
}

void migrate_take_findings(struct migration *migration, struct json_object *answer)
{
	struct json_object *findings = json_object_object_get(answer, "findings");

	if (!json_object_is_type(findings, json_type_array)) {
		json_append_format(&migration->findings,
				   "the other side does not say whether it can take it");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(findings); i++)
		json_append(&migration->findings,
			    json_object_get(json_object_array_get_idx(findings, i)));
}

static void migrate_compare(struct migration *migration, struct json_object *answer)
{
	struct json_object *disks = json_object_object_get(migration->definition, "disks");
	char boot_id[MIGRATION_BOOT_ID_SIZE];
	bool same_host;

	migration_boot_id(boot_id);
	same_host = boot_id[0] != '\0' && strcmp(boot_id, json_member_text(answer, "boot_id")) == 0;
	for (size_t i = 0; i < json_array_size(disks); i++)
		migrate_look_at_disk(migration, json_object_array_get_idx(disks, i), same_host);
	migrate_take_findings(migration, answer);
}

void migrate_print_findings(const char *name, const char *host, struct json_object *findings)
{
	AUTO_FREE char *escaped_name = text_escape_new(name, strlen(name));

	fprintf(stderr, "vmctl: VM '%s' cannot be moved to %s:\n", escaped_name ? escaped_name : "",
		host);
	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(findings, i));
		AUTO_FREE char *escaped = text ? text_escape_new(text, strlen(text)) : NULL;

		fprintf(stderr, "  %s\n", escaped ? escaped : "");
	}
}

enum status migrate_conclude_check(struct migration *migration, bool check)
{
	const struct invocation *invocation = migration->invocation;
	size_t count;
	int r = 0;

	if (!migration->findings)
		return service_failed(-ENOMEM, NULL);
	count = json_object_array_length(migration->findings);
	if (check && invocation->json)
		r = json_print(json_make("vm", json_object_new_string(migration->name), "host",
					 json_object_new_string(migration->host), "findings",
					 json_object_get(migration->findings), NULL));
	else if (count > 0)
		migrate_print_findings(migration->name, migration->host, migration->findings);
	else if (check)
		output_say(invocation, "nothing is known that keeps VM '%s' from %s",
			   migration->name, migration->host);
	return r < 0 ? service_failed(r, NULL) : count > 0 ? STATUS_FAILED : STATUS_OK;
}

/* ---- The other side ---- */

/* What it, or ssh, says on standard error says why. */
static enum status migrate_no_answer(struct migration *migration, int r)
{
	enum status status;

	close_fdp(&migration->fd);
	/* Who says something else may go on with it for ever. */
	if (r != -ENODATA)
		(void)kill(migration->there.stream, SIGTERM);
	status = remote_stream_end(&migration->there);
	if (status == STATUS_OK || r != -ENODATA) {
		fprintf(stderr, "vmctl: the vmctl of %s gives no answer of this version: %s\n",
			migration->host, r == -EPROTO ? "install the same there" : strerror(-r));
		status = STATUS_FAILED;
	}
	return status;
}

enum status migrate_ask(struct migration *migration, struct json_object *line,
			struct json_object **ret_answer)
{
	int r = migration_write(migration->fd, line);

	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = migration_read(migration->fd, ret_answer);
	return r < 0 ? migrate_no_answer(migration, r) : STATUS_OK;
}

static enum status migrate_ask_what_is_in_the_way(struct migration *migration)
{
	AUTO_JSON struct json_object *answer = NULL;
	enum status status;

	status = remote_stream_open(&migration->there, (const char *const[]){ "receive", NULL },
				    &migration->fd);
	if (status != STATUS_OK)
		return status;
	status = migrate_ask(migration,
			     json_make("protocol", json_object_new_int64(MIGRATION_PROTOCOL),
				       "definition", json_object_get(migration->definition), NULL),
			     &answer);
	if (status == STATUS_OK)
		migrate_compare(migration, answer);
	return status;
}

static enum status migrate_ask_to_make_vm(struct migration *migration)
{
	AUTO_JSON struct json_object *answer = NULL;
	enum status status;

	status = migrate_ask(migration,
			     json_make("protocol", json_object_new_int64(MIGRATION_PROTOCOL), "way",
				       json_object_new_string(MIGRATION_BY_SSH), NULL),
			     &answer);
	if (status == STATUS_OK)
		migrate_take_findings(migration, answer);
	return status;
}

/* ---- The move ---- */

int migrate_append_options(const struct migration *migration, sd_bus_message *call)
{
	int r = sd_bus_message_open_container(call, 'a', "{sv}");

	if (r >= 0 && migration->bandwidth > 0)
		r = sd_bus_message_append(call, "{sv}", "bandwidth", "u", migration->bandwidth);
	if (r >= 0 && migration->max_downtime > 0)
		r = sd_bus_message_append(call, "{sv}", "max-downtime", "u",
					  migration->max_downtime);
	if (r >= 0)
		r = sd_bus_message_append(call, "{sv}", "force", "b",
					  (int)invocation_has(migration->invocation, "force"));
	return r < 0 ? r : sd_bus_message_close_container(call);
}

static enum status migrate_begin(struct migration *migration)
{
	struct invocation *invocation = migration->invocation;
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = service_new_call(invocation, migration->path, "Send", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "h", migration->fd);
	if (r >= 0)
		r = migrate_append_options(migration, call);
	return r < 0 ? service_failed(r, NULL) : job_begin(invocation, call, &migration->job);
}

void migrate_say_moved(struct migration *migration, struct json_object **ret_result)
{
	AUTO_JSON struct json_object *result = NULL;
	AUTO_FREE char *text = NULL;
	struct json_error why;
	double blackout;
	int r;

	r = sd_bus_get_property_string(migration->invocation->bus, DBUS_NAME, migration->job,
				       DBUS_INTERFACE_JOB, "Result", NULL, &text);
	if (r < 0 || json_parse(text, strlen(text), &result, &why) < 0) {
		output_say(migration->invocation, "VM '%s' is on %s now", migration->name,
			   migration->host);
		return;
	}
	blackout = json_object_get_double(json_object_object_get(result, "blackout"));
	output_say(migration->invocation, "VM '%s' is on %s now; its guest stood for %.1f ms",
		   migration->name, migration->host, blackout / 1e6);
	json_add(&result, "vm", json_object_new_string(migration->name));
	json_add(&result, "host", json_object_new_string(migration->host));
	*ret_result = TAKE_PTR(result);
}

/*
 * The other side says that it has the guest, and the answer that was for the worker here was lost:
 * what stands here is nobody's.
 */
static enum status migrate_settle(struct migration *migration)
{
	fprintf(stderr, "vmctl: %s has the VM, though: it is turned off here\n", migration->host);
	return service_call_vm(migration->invocation, migration->path, "TurnOff");
}

enum status migrate_follow(struct migration *migration)
{
	enum status status;

	job_cancel_after(migration->timeout);
	status = job_follow(migration->invocation, migration->job, migration->name, true);
	job_cancel_after(0);
	/* There is nothing left to cancel. */
	signal(SIGINT, SIG_DFL);
	return status;
}

static enum status migrate_move(struct migration *migration, struct json_object **ret_result)
{
	enum status status = migrate_begin(migration), far;

	if (status == STATUS_OK)
		status = migrate_follow(migration);
	/* Whoever has a copy of it still. */
	(void)shutdown(migration->fd, SHUT_RDWR);
	far = remote_stream_end(&migration->there);
	if (status != STATUS_OK && migration->job && far == STATUS_OK)
		status = migrate_settle(migration);
	if (status == STATUS_OK)
		status = service_call_manager(migration->invocation, "DeleteVM", SERVICE_TIMEOUT,
					      NULL, "s", migration->name);
	if (status == STATUS_OK)
		migrate_say_moved(migration, ret_result);
	return status;
}

enum status migrate_look(struct migration *migration, struct json_object **ret_findings)
{
	enum status status = migrate_read_options(migration);

	if (status == STATUS_OK)
		status = migrate_find_vm(migration);
	if (status == STATUS_OK)
		status = migrate_change_switches(migration);
	if (status == STATUS_OK)
		status = migrate_ask_what_is_in_the_way(migration);
	if (status == STATUS_OK && !migration->findings)
		status = service_failed(-ENOMEM, NULL);
	*ret_findings = migration->findings;
	return status;
}

enum status migrate_go(struct migration *migration, struct json_object **ret_result)
{
	enum status status;
	bool went;

	if (!invocation_has(migration->invocation, "ssh")) {
		status = migrate_by_tcp(migration, ret_result, &went);
		if (went || status != STATUS_OK)
			return status;
	}
	status = migrate_ask_to_make_vm(migration);
	if (status == STATUS_OK)
		status = migrate_conclude_check(migration, false);
	return status == STATUS_OK ? migrate_move(migration, ret_result) : status;
}

static enum status migrate_run(struct migration *migration)
{
	const struct invocation *invocation = migration->invocation;
	bool check = invocation_has(invocation, "check");
	AUTO_JSON struct json_object *result = NULL;
	struct json_object *findings;
	enum status status = migrate_look(migration, &findings);
	int r;

	if (status == STATUS_OK)
		status = migrate_conclude_check(migration, check);
	if (status == STATUS_OK && !check)
		status = migrate_go(migration, &result);
	if (!result || !invocation->json)
		return status;
	r = json_print(TAKE_PTR(result));
	return r < 0 ? service_failed(r, NULL) : status;
}

struct migration *migrate_new(struct invocation *invocation, const char *name, const char *host)
{
	struct migration *migration = calloc(1, sizeof(*migration));

	if (!migration)
		return NULL;
	signal(SIGPIPE, SIG_IGN);
	migration->invocation = invocation;
	migration->name = name;
	migration->host = host;
	migration->findings = json_object_new_array();
	migration->fd = -1;
	return migration;
}

void migrate_free(struct migration *migration)
{
	if (!migration)
		return;
	/* Nobody waits for more; what is said there is not of interest any more. */
	close_fdp(&migration->fd);
	(void)remote_stream_end(&migration->there);
	json_object_put(migration->definition);
	json_object_put(migration->findings);
	free(migration->path);
	free(migration->job);
	free(migration);
}

/* ---- After an outcome that nobody knew ---- */

static enum status migrate_settle_here(struct migration *migration)
{
	enum status status = service_call_vm(migration->invocation, migration->path, "Resume");

	if (status == STATUS_OK)
		output_say(migration->invocation, "VM '%s' runs on", migration->name);
	return status;
}

static enum status migrate_settle_there(struct migration *migration)
{
	enum status status = service_call_vm(migration->invocation, migration->path, "TurnOff");

	if (status == STATUS_OK)
		status = service_call_manager(migration->invocation, "DeleteVM", SERVICE_TIMEOUT,
					      NULL, "s", migration->name);
	if (status == STATUS_OK)
		output_say(migration->invocation, "VM '%s' deleted; its disk images stay",
			   migration->name);
	return status;
}

static enum status migrate_settle_as_told(struct migration *migration, const char *where)
{
	const struct invocation *invocation = migration->invocation;
	bool here = strcmp(where, "here") == 0;
	AUTO_FREE char *state = NULL;
	enum status status;

	if ((!here && strcmp(where, "there") != 0) || invocation->argument_count != 1)
		return usage_error(invocation, "--settle takes here or there, and goes with a VM "
					       "alone");
	status = service_find_vm(migration->invocation, migration->name, &migration->path);
	if (status == STATUS_OK)
		status = migrate_get_text(migration, "State", &state);
	if (status != STATUS_OK)
		return status;
	if (strcmp(state, "paused") != 0) {
		fprintf(stderr, "vmctl: there is nothing to settle: the VM is %s here\n", state);
		return STATUS_WRONG_STATE;
	}
	return here ? migrate_settle_here(migration) : migrate_settle_there(migration);
}

enum status command_migrate(struct invocation *invocation)
{
	const char *where = invocation_value(invocation, "settle");
	CLEANUP(migrate_freep)
	struct migration *migration =
		migrate_new(invocation, invocation->arguments[0],
			    invocation->argument_count > 1 ? invocation->arguments[1] : NULL);

	if (!migration)
		return service_failed(-ENOMEM, NULL);
	if (where)
		return migrate_settle_as_told(migration, where);
	if (!migration->host)
		return usage_error(invocation, "the host is missing that the VM is to go to");
	return migrate_run(migration);
}
