/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl migrate: two daemons are introduced to each other. The other one says where it waits for the VM,
 * and with which key it is to be sent; what is here hears that, and from then on they go on by themselves.
 */
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/migrate_internal.h"
#include "vmms/vmctl/migration.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct meeting {
	const char *address;
	uint32_t port;
	uint8_t key[MIGRATION_KEY_SIZE];
};

static void migrate_say_unreachable(const struct migration *migration, const char *why)
{
	AUTO_FREE char *escaped = text_escape_new(why, strlen(why));

	fprintf(stderr, "vmctl: %s; it goes to %s by ssh\n", escaped ? escaped : "",
		migration->host);
}

/* What it says is checked by vmms, too. Return: whether it is a meeting. */
static bool migrate_read_meeting(struct json_object *answer, struct meeting *meeting)
{
	struct json_object *port = json_object_object_get(answer, "port");

	meeting->address = json_member_text(answer, "address");
	meeting->port = json_object_is_type(port, json_type_int)
				? (uint32_t)json_object_get_int64(port)
				: 0;
	return meeting->port > 0 &&
	       migration_key_parse(json_member_text(answer, "key"), meeting->key) == 0;
}

static int migrate_append_meeting(sd_bus_message *call, const struct meeting *meeting)
{
	int r = sd_bus_message_append(call, "su", meeting->address, meeting->port);

	return r < 0 ? r
		     : sd_bus_message_append_array(call, 'y', meeting->key, sizeof(meeting->key));
}

/* *ret_went: false, and why was said: the other side cannot be reached from here. */
static enum status migrate_introduce(struct migration *migration, const struct meeting *meeting,
				     bool *ret_went)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	enum status status;
	int r;

	status = service_new_call(migration->invocation, migration->path, "Move", &call);
	if (status != STATUS_OK)
		return status;
	r = migrate_append_meeting(call, meeting);
	if (r >= 0)
		r = migrate_append_options(migration, call);
	if (r >= 0)
		r = service_call(migration->invocation, call, SERVICE_LONG_TIMEOUT, &error, &reply);
	*ret_went = !sd_bus_error_has_name(&error, DBUS_ERROR_UNREACHABLE);
	if (!*ret_went) {
		migrate_say_unreachable(migration, error.message);
		sd_bus_error_free(&error);
		return STATUS_OK;
	}
	return r < 0 ? service_failed(r, &error) : job_read(reply, &migration->job);
}

/* It has failed, and what is known of that there may say more. */
static void migrate_ask_why(struct migration *migration)
{
	if (!job_is_interrupted())
		(void)!migration_write(migration->fd,
				       json_make("protocol",
						 json_object_new_int64(MIGRATION_PROTOCOL), "way",
						 json_object_new_string(MIGRATION_WHY), NULL));
}

enum status migrate_by_tcp(struct migration *migration, struct json_object **ret_result,
			   bool *ret_went)
{
	AUTO_JSON struct json_object *answer = NULL;
	struct meeting meeting;
	enum status status;

	*ret_went = false;
	status = migrate_ask(migration,
			     json_make("protocol", json_object_new_int64(MIGRATION_PROTOCOL), "way",
				       json_object_new_string(MIGRATION_BY_TCP), NULL),
			     &answer);
	if (status != STATUS_OK)
		return status;
	migrate_take_findings(migration, answer);
	status = migrate_conclude_check(migration, false);
	if (status != STATUS_OK)
		return status;
	if (!migrate_read_meeting(answer, &meeting)) {
		migrate_say_unreachable(migration, json_member_text(answer, "unreachable"));
		return STATUS_OK;
	}
	status = migrate_introduce(migration, &meeting, ret_went);
	explicit_bzero(&meeting, sizeof(meeting));
	if (status != STATUS_OK || !*ret_went)
		return status;
	status = migrate_follow(migration);
	if (status != STATUS_OK)
		migrate_ask_why(migration);
	close_fdp(&migration->fd);
	(void)remote_stream_end(&migration->there);
	if (status == STATUS_OK)
		migrate_say_moved(migration, ret_result);
	return status;
}
