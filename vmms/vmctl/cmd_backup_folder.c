/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl backup list, verify, serve; and which points are kept. */
#include "vmms/vmctl/cmd_backup.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- list ---- */

static enum status list_print_json(const struct backup_set *set)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < set->count; i++)
		json_append(&array, backup_point_to_json(set->points[i]));
	return json_print(array) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
}

static void list_print_point(const struct backup_point *point)
{
	time_t seconds = (time_t)point->time;
	uint64_t bytes = 0;
	bool full = true;
	struct tm local;
	char when[32];

	for (size_t i = 0; i < point->disk_count; i++) {
		bytes += point->disks[i].bytes;
		full &= point->disks[i].full;
	}
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &local));
	printf("%5u  %s  %-10s  %-9s  %8" PRIu64 " MiB\n", point->number, when, point->consistency,
	       full ? "full" : "increment", (bytes + (1 << 20) - 1) >> 20);
}

enum status backup_list(struct invocation *invocation)
{
	CLEANUP(backup_set_freep) struct backup_set *set = NULL;
	char why[BACKUP_WHY_MAX];

	if (backup_set_open(invocation->arguments[1], false, &set, why) < 0)
		return backup_failed(why);
	if (invocation->json)
		return list_print_json(set);
	puts("POINT  TIME                 STATE       KIND           DATA");
	for (size_t i = 0; i < set->count; i++)
		list_print_point(set->points[i]);
	return STATUS_OK;
}

/* ---- verify ---- */

static int verify_point(const struct backup_set *set, const struct backup_point *point,
			struct backup_teller *teller, char why[BACKUP_WHY_MAX])
{
	const struct backup_progress progress = { backup_tell, teller };
	int r = 0;

	for (size_t i = 0; r == 0 && i < point->disk_count; i++) {
		struct backup_point *parent = backup_set_find(set, point->parent);

		r = backup_data_verify(set, &point->disks[i], &progress, why);
		if (r == 0 && !point->disks[i].full &&
		    (!parent ||
		     !backup_point_find(parent, point->disks[i].controller, point->disks[i].lun))) {
			snprintf(why, BACKUP_WHY_MAX, "the point that it stands on is not there");
			r = -EBADMSG;
		}
	}
	return r;
}

/* A point is as good as all that it stands on. */
enum status backup_verify(struct invocation *invocation)
{
	CLEANUP(backup_set_freep) struct backup_set *set = NULL;
	struct backup_teller teller = { .label = "verify", .quiet = invocation->json };
	char why[BACKUP_WHY_MAX], text[BACKUP_WHY_MAX + 64];
	uint64_t wanted = UINT64_MAX;
	unsigned bad = 0;

	if (invocation->argument_count > 2 &&
	    parse_unsigned(invocation->arguments[2], 1, UINT32_MAX, &wanted) < 0)
		return usage_error(invocation, "'%s' is no point", invocation->arguments[2]);
	if (backup_set_open(invocation->arguments[1], false, &set, why) < 0)
		return backup_failed(why);
	if (set->count == 0 || (wanted != UINT64_MAX && !backup_set_find(set, (unsigned)wanted)))
		return backup_failed("there is no such point in the folder");
	for (size_t i = 0; i < set->count && set->points[i]->number <= wanted; i++) {
		if (verify_point(set, set->points[i], &teller, why) == 0)
			continue;
		backup_tell_end(&teller);
		snprintf(text, sizeof(text), "point %u is damaged: %s", set->points[i]->number,
			 why);
		(void)backup_failed(text);
		bad++;
	}
	backup_tell_end(&teller);
	if (bad == 0)
		output_say(invocation, "all that was looked at is as it was written");
	return bad ? STATUS_FAILED : STATUS_OK;
}

/* ---- Which points are kept ---- */

static int keep_merge(struct backup_set *set, struct backup_point *point,
		      struct backup_teller *teller, char why[BACKUP_WHY_MAX])
{
	const struct backup_progress progress = { backup_tell, teller };
	struct backup_point merged = *point;
	int r = 0;

	merged.parent = 0;
	for (size_t i = 0; r == 0 && i < merged.disk_count; i++) {
		if (!merged.disks[i].full)
			r = backup_data_merge(set, point, &merged.disks[i], &progress, why);
	}
	if (r < 0)
		return r;
	r = backup_set_write(set, &merged);
	if (r < 0)
		snprintf(why, BACKUP_WHY_MAX, "a merged point cannot be written: %s", strerror(-r));
	else
		*point = merged;
	return r;
}

enum status backup_keep(struct invocation *invocation, struct backup_set *set,
			struct backup_teller *teller)
{
	char why[BACKUP_WHY_MAX];
	unsigned keep = 0;

	if (!invocation_has(invocation, "keep"))
		return STATUS_OK;
	if (!invocation_number(invocation, "keep", BACKUP_POINTS_MAX, &keep) || keep == 0)
		return STATUS_USAGE;
	while (set->count > keep) {
		int r = keep_merge(set, set->points[1], teller, why);

		backup_tell_end(teller);
		if (r < 0)
			return backup_failed(why);
		r = backup_set_remove_first(set);
		if (r < 0)
			return service_failed(r, NULL);
	}
	return STATUS_OK;
}

/* ---- serve ---- */

static void serve_say(const struct invocation *invocation, struct json_object *description,
		      const char *path)
{
	struct json_object *disks =
		json_object_object_get(json_object_object_get(description, "definition"), "disks");

	if (invocation->json) {
		(void)!json_print(json_object_get(description));
		return;
	}
	for (size_t i = 0; disks && i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);

		printf("nbd+unix:///%d:%d?socket=%s\n",
		       json_object_get_int(json_object_object_get(disk, "controller")),
		       json_object_get_int(json_object_object_get(disk, "lun")), path);
	}
	fflush(stdout);
}

static enum status serve_until_end(struct invocation *invocation, const char *vm, const char *path,
				   int listener)
{
	AUTO_CLOSE int socket = listener;
	AUTO_JSON struct json_object *description = NULL;
	AUTO_FREE char *object = NULL, *job = NULL;
	enum status status = service_find_vm(invocation, vm, &object);

	job_catch_interrupt();
	if (status == STATUS_OK)
		status = backup_ask(invocation, object, socket, false, &job);
	close_fdp(&socket);
	if (status == STATUS_OK)
		status = backup_wait_for_service(invocation, job, &description);
	if (status != STATUS_OK)
		return status;
	if (description)
		serve_say(invocation, description, path);
	status = job_follow(invocation, job, vm, true);
	return description && job_is_interrupted() ? STATUS_OK : status;
}

enum status backup_serve(struct invocation *invocation, const char *vm)
{
	const char *path = invocation_value(invocation, "socket");
	enum status status;
	char why[BACKUP_WHY_MAX];
	int listener;

	if (!path)
		return usage_error(invocation, "where? say --socket PATH");
	listener = backup_listen(path);
	if (listener < 0) {
		snprintf(why, sizeof(why), "'%.200s' cannot be made: %s", path,
			 strerror(-listener));
		return backup_failed(why);
	}
	status = serve_until_end(invocation, vm, path, listener);
	(void)unlink(path);
	return status;
}
