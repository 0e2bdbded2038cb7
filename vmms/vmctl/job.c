/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of vmms, followed to their end. */
#include "vmms/vmctl/job.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/text.h"
#include "vmms/vmctl/clock.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/subscription.h"
#include "vmms/vmctl/table.h"
#include "vmms/vmctl/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define TICK      1000000 /* microseconds between two looks at the time */

struct watch {
	const char *path, *label;
	bool show, shown, ended;
	bool waiting;         /* for its turn */
	uint64_t done, total; /* bytes; total 0: not known */
	time_t begun;         /* of the boot clock, seconds */
	struct service_pinger pinger;
	enum status status;
};

static volatile sig_atomic_t interrupted;

static void job_on_interrupt(int number)
{
	interrupted = number;
}

static void job_mask_interrupt(int how)
{
	sigset_t interrupt;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(how, &interrupt, NULL);
}

/* Without SA_RESTART, to be noticed by sd_bus_wait(); a call that begins a job is not to end by it. */
void job_catch_interrupt(void)
{
	job_mask_interrupt(SIG_BLOCK);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = job_on_interrupt }, NULL);
}

void job_cancel_after(unsigned seconds)
{
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = job_on_interrupt }, NULL);
	alarm(seconds);
	/* What that would have cancelled is over; a user who interrupts means what comes, too. */
	if (seconds == 0 && interrupted == SIGALRM)
		interrupted = 0;
}

bool job_is_interrupted(void)
{
	return interrupted == SIGINT;
}

/* ---- On the terminal ---- */

/* "1536 KiB": a size in at most four digits. */
static void job_format_bytes(uint64_t bytes, char text[static 24])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	for (; bytes > 9999 && unit + 1 < ARRAY_SIZE(units); unit++)
		bytes /= 1024;
	snprintf(text, 24, "%" PRIu64 " %s", bytes, units[unit]);
}

void job_format_progress(uint64_t done, uint64_t total, unsigned seconds,
			 char text[static JOB_LINE_SIZE])
{
	char bar[BAR_WIDTH + 1], now[24], all[24];
	size_t filled;

	if (total == 0) {
		snprintf(text, JOB_LINE_SIZE, "%u s", seconds);
		return;
	}
	done = MIN(done, total);
	filled = (size_t)((double)done / (double)total * BAR_WIDTH);
	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '#', filled);
	bar[BAR_WIDTH] = '\0';
	job_format_bytes(done, now);
	job_format_bytes(total, all);
	snprintf(text, JOB_LINE_SIZE, "[%s] %3u%%  %s of %s", bar,
		 (unsigned)((double)done / (double)total * 100), now, all);
}

static void job_draw(struct watch *watch)
{
	AUTO_FREE char *label = text_escape_new(watch->label, strlen(watch->label));
	char progress[JOB_LINE_SIZE];

	if (!watch->show)
		return;
	if (watch->waiting)
		snprintf(progress, sizeof(progress), "waits for its turn");
	else
		job_format_progress(watch->done, watch->total,
				    (unsigned)(clock_boot() - watch->begun), progress);
	fprintf(stderr, "\r%s: %s\033[K", label ? label : "", progress);
	watch->shown = true;
}

static void job_erase(const struct watch *watch)
{
	if (watch->shown)
		fputs("\r\033[K", stderr);
}

/* ---- What vmms tells ---- */

static int job_read_property(sd_bus_message *signal, struct watch *watch)
{
	const char *name, *state;
	int r;

	r = sd_bus_message_read(signal, "s", &name);
	if (r < 0)
		return r;
	if (strcmp(name, "State") == 0) {
		r = sd_bus_message_read(signal, "v", "s", &state);
		watch->waiting = r >= 0 && strcmp(state, "waiting") == 0;
		return r;
	}
	if (strcmp(name, "Done") == 0)
		return sd_bus_message_read(signal, "v", "t", &watch->done);
	if (strcmp(name, "Total") == 0)
		return sd_bus_message_read(signal, "v", "t", &watch->total);
	return sd_bus_message_skip(signal, "v");
}

/* PropertiesChanged of the job: sa{sv}as. */
static int job_on_changed(sd_bus_message *signal, void *data, sd_bus_error *error)
{
	struct watch *watch = data;

	if (sd_bus_message_skip(signal, "s") < 0 ||
	    sd_bus_message_enter_container(signal, 'a', "{sv}") < 0)
		return 0;
	while (sd_bus_message_enter_container(signal, 'e', "sv") > 0) {
		if (job_read_property(signal, watch) < 0 ||
		    sd_bus_message_exit_container(signal) < 0)
			return 0;
	}
	job_draw(watch);
	return 0;
}

static int job_on_ended(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct watch *watch = data;
	sd_bus_error why = SD_BUS_ERROR_NULL;

	job_erase(watch);
	watch->ended = true;
	watch->status = STATUS_OK;
	if (sd_bus_message_is_method_error(reply, NULL)) {
		sd_bus_error_copy(&why, sd_bus_message_get_error(reply));
		watch->status = service_failed(-EIO, &why);
	}
	return 0;
}

static void job_ask_state(struct invocation *invocation, struct watch *watch)
{
	AUTO_FREE char *state = NULL;

	if (watch->show &&
	    sd_bus_get_property_string(invocation->bus, DBUS_NAME, watch->path, DBUS_INTERFACE_JOB,
				       "State", NULL, &state) >= 0)
		watch->waiting = strcmp(state, "waiting") == 0;
}

/* Users other than root may not be told of it: they ask. */
static void job_ask_progress(struct invocation *invocation, struct watch *watch)
{
	static const char *const names[] = { "Done", "Total" };
	uint64_t *const values[] = { &watch->done, &watch->total };

	for (size_t i = 0; watch->show && i < ARRAY_SIZE(names); i++)
		(void)sd_bus_get_property_trivial(invocation->bus, DBUS_NAME, watch->path,
						  DBUS_INTERFACE_JOB, names[i], NULL, 't',
						  values[i]);
	job_ask_state(invocation, watch);
}

static int job_send_cancel(struct invocation *invocation, const struct watch *watch)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, watch->path,
					   DBUS_INTERFACE_JOB, "Cancel");
	return r < 0 ? r : sd_bus_send(invocation->bus, call, NULL);
}

/*
 * A job may take as long as it likes; vmms says all the while that it is there. An interrupt cancels
 * the job, whose end then says so.
 */
static enum status job_await(struct invocation *invocation, struct watch *watch)
{
	bool cancelled = false;
	int r;

	job_mask_interrupt(SIG_UNBLOCK);
	while (!watch->ended && !watch->pinger.hangs) {
		r = sd_bus_process(invocation->bus, NULL);
		if (r == 0) {
			r = sd_bus_wait(invocation->bus, TICK);
			if (r == 0) {
				if (geteuid() != 0)
					job_ask_progress(invocation, watch);
				job_draw(watch);
			}
		}
		if (r >= 0)
			r = service_pinger_ask(&watch->pinger, invocation);
		if (r < 0 && r != -EINTR)
			return service_failed(r, NULL);
		if (interrupted && !cancelled) {
			cancelled = true;
			(void)job_send_cancel(invocation, watch);
		}
	}
	if (watch->ended)
		return watch->status;
	job_erase(watch);
	return service_say_hangs();
}

enum status job_follow(struct invocation *invocation, const char *path, const char *label,
		       bool cancel)
{
	struct watch watch = { .path = path,
			       .label = label,
			       .show = terminal_shows_progress() && !invocation->json,
			       .begun = clock_boot(),
			       .pinger = { .pinged = clock_boot() } };
	AUTO_MESSAGE sd_bus_message *call = NULL;
	sd_bus_slot *changes = NULL, *end = NULL;
	enum status status;
	int r = 0;

	if (cancel)
		job_catch_interrupt();
	if (watch.show)
		r = sd_bus_match_signal(invocation->bus, &changes, DBUS_NAME, path,
					"org.freedesktop.DBus.Properties", "PropertiesChanged",
					job_on_changed, &watch);
	if (r >= 0 && watch.show)
		r = subscription_begin(invocation);
	if (r >= 0)
		r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, path,
						   DBUS_INTERFACE_JOB, "Wait");
	/* vmms keeps the time, if there is a limit. */
	if (r >= 0)
		r = sd_bus_call_async(invocation->bus, &end, call, job_on_ended, &watch,
				      UINT64_MAX);
	if (r >= 0)
		job_ask_state(invocation, &watch);
	status = r < 0 ? service_failed(r, NULL) : job_await(invocation, &watch);
	sd_bus_slot_unref(changes);
	sd_bus_slot_unref(end);
	service_pinger_deinit(&watch.pinger);
	return status;
}

/* ---- What commands do ---- */

enum status job_begin(struct invocation *invocation, sd_bus_message *call, char **ret_path)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;

	status = service_send(invocation, call, SERVICE_LONG_TIMEOUT, &reply);
	return status == STATUS_OK ? job_read(reply, ret_path) : status;
}

enum status job_read(sd_bus_message *reply, char **ret_path)
{
	const char *path;
	int r = sd_bus_message_read(reply, "o", &path);

	if (r < 0)
		return service_failed(r, NULL);
	*ret_path = strdup(path);
	return *ret_path ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

/* What 'vmctl job' calls it. */
static const char *job_number(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static enum status job_print_jobs(const struct invocation *invocation, const struct begun_job *jobs,
				  size_t count)
{
	struct json_object *array = json_object_new_array();
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		const char *path = jobs[i].path;

		if (path && !invocation->json)
			puts(job_number(path));
		if (path)
			json_append(&array, json_make("job",
						      json_object_new_uint64(
							      strtoull(job_number(path), NULL, 10)),
						      "vm", json_object_new_string(jobs[i].vm),
						      "path", json_object_new_string(path), NULL));
	}
	if (invocation->json)
		r = json_print(json_make("jobs", array, NULL));
	else
		json_object_put(array);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status job_conclude(struct invocation *invocation, struct begun_job *jobs, size_t count,
			 bool cancel)
{
	enum status first = STATUS_OK;

	if (invocation_has(invocation, "no-wait"))
		first = job_print_jobs(invocation, jobs, count);
	for (size_t i = 0; i < count; i++) {
		enum status status = STATUS_OK;

		if (jobs[i].path && !invocation_has(invocation, "no-wait"))
			status = job_follow(invocation, jobs[i].path, jobs[i].vm, cancel);
		if (status == STATUS_OK && jobs[i].path && jobs[i].done &&
		    !invocation_has(invocation, "no-wait"))
			output_say(invocation, "VM '%s' %s", jobs[i].vm, jobs[i].done);
		if (first == STATUS_OK)
			first = status;
		free(jobs[i].path);
	}
	return first;
}
