/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl kvp, backup, copy, dump: what is asked of the guest, or taken from it. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "vmms/vmctl/cmd_backup.h"
#include "vmms/vmctl/digest.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/spool.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FREEZE_LIMIT_DEFAULT 60          /* seconds */
#define FREEZE_LIMIT_MAX     (24 * 3600) /* likewise */
#define ASK_TIMEOUT          1000        /* likewise; vmms keeps the time, ours is longer */

/* A new call of a method of the VM of that name. */
static enum status guest_new_call(struct invocation *invocation, const char *name,
				  const char *method, sd_bus_message **ret_call)
{
	AUTO_FREE char *path = NULL;
	enum status status;

	status = service_find_vm(invocation, name, &path);
	return status == STATUS_OK ? service_new_call(invocation, path, method, ret_call) : status;
}

/* ---- kvp ---- */

static void guest_print_text(const char *text, char end)
{
	AUTO_FREE char *escaped = text_escape_new(text, strlen(text));

	printf("%s%c", escaped ? escaped : "", end);
}

static int guest_list_as_json(sd_bus_message *reply)
{
	struct json_object *values = json_object_new_array();
	const char *key, *value;
	int r, truncated = false;

	while ((r = sd_bus_message_read(reply, "(ss)", &key, &value)) > 0)
		json_append(&values, json_make("key", json_object_new_string(key), "value",
					       json_object_new_string(value), NULL));
	if (r >= 0)
		r = sd_bus_message_exit_container(reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "b", &truncated);
	if (r < 0) {
		json_object_put(values);
		return r;
	}
	return json_print(
		json_make("values", values, "truncated", json_object_new_boolean(truncated), NULL));
}

static int guest_list_as_table(sd_bus_message *reply)
{
	static const char *const titles[] = { "KEY", "VALUE" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	const char *key, *value;
	int r, truncated = false;

	if (!table)
		return -ENOMEM;
	while ((r = sd_bus_message_read(reply, "(ss)", &key, &value)) > 0) {
		table_add(table, "%s", key);
		table_add(table, "%s", value);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "b", &truncated);
	if (r >= 0)
		table_print(table);
	if (truncated)
		fputs("vmctl: there are more values than can be listed\n", stderr);
	table_free(table);
	return r < 0 ? r : 0;
}

static enum status guest_print_values(struct invocation *invocation, sd_bus_message *reply)
{
	int r;

	r = sd_bus_message_enter_container(reply, 'a', "(ss)");
	if (r >= 0)
		r = invocation->json ? guest_list_as_json(reply) : guest_list_as_table(reply);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status guest_print_value(struct invocation *invocation, sd_bus_message *reply)
{
	const char *value;
	int r;

	r = sd_bus_message_read(reply, "s", &value);
	if (r >= 0 && invocation->json)
		r = json_print(json_make("value", json_object_new_string(value), NULL));
	else if (r >= 0)
		guest_print_text(value, '\n');
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* What can be done with values; arguments: with the verb and the VM. */
static const struct kvp_verb {
	const char *name, *method, *pool;
	size_t arguments;
	enum status (*print)(struct invocation *invocation, sd_bus_message *reply);
	const char *done; /* what is said, if nothing is printed */
} kvp_verbs[] = {
	{ "list", "ListGuestValues", "auto", 2, guest_print_values, NULL },
	{ "get", "GetGuestValue", "guest", 3, guest_print_value, NULL },
	{ "set", "SetGuestValue", "external", 4, NULL, "set" },
	{ "delete", "DeleteGuestValue", "external", 3, NULL, "deleted" },
};

static enum status guest_call_kvp(struct invocation *invocation, const struct kvp_verb *verb)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	const char *pool = invocation_value(invocation, "pool");
	enum status status;
	int r;

	status = guest_new_call(invocation, invocation->arguments[1], verb->method, &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "s", pool ? pool : verb->pool);
	for (size_t i = 2; r >= 0 && i < verb->arguments; i++)
		r = sd_bus_message_append(call, "s", invocation->arguments[i]);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, ASK_TIMEOUT, verb->print ? &reply : NULL);
	if (status == STATUS_OK && verb->print)
		return verb->print(invocation, reply);
	if (status == STATUS_OK)
		output_say(invocation, "value '%s' of VM '%s' %s", invocation->arguments[2],
			   invocation->arguments[1], verb->done);
	return status;
}

enum status command_kvp(struct invocation *invocation)
{
	for (size_t i = 0; i < ARRAY_SIZE(kvp_verbs); i++) {
		if (strcmp(kvp_verbs[i].name, invocation->arguments[0]) != 0)
			continue;
		if (invocation->argument_count != kvp_verbs[i].arguments)
			return usage_error(invocation, "'%s' takes a VM%s%s", kvp_verbs[i].name,
					   kvp_verbs[i].arguments > 2 ? ", a key" : "",
					   kvp_verbs[i].arguments > 3 ? " and a value" : "");
		return guest_call_kvp(invocation, &kvp_verbs[i]);
	}
	return usage_error(invocation, "'%s' is none of list, get, set and delete",
			   invocation->arguments[0]);
}

/* ---- backup ---- */

static enum status guest_freeze(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	bool freeze = strcmp(invocation->arguments[0], "freeze") == 0;
	struct begun_job job = { .vm = invocation->arguments[1],
				 .done = freeze ? "has its file systems frozen"
						: "has its file systems thawed" };
	unsigned limit = FREEZE_LIMIT_DEFAULT;
	enum status status;
	int r = 0;

	if (!invocation_number(invocation, "limit", FREEZE_LIMIT_MAX, &limit))
		return STATUS_USAGE;
	status = guest_new_call(invocation, invocation->arguments[1], freeze ? "Freeze" : "Thaw",
				&call);
	if (status != STATUS_OK)
		return status;
	if (freeze)
		r = sd_bus_message_append(call, "u", (uint32_t)limit);
	if (r < 0)
		return service_failed(r, NULL);
	status = job_begin(invocation, call, &job.path);
	return status == STATUS_OK ? job_conclude(invocation, &job, 1, false) : status;
}

static enum status guest_create_backup(struct invocation *invocation)
{
	return backup_create(invocation, invocation->arguments[1]);
}

static enum status guest_serve_backup(struct invocation *invocation)
{
	return backup_serve(invocation, invocation->arguments[1]);
}

/* A first word that is none of these is a VM. */
enum status command_backup(struct invocation *invocation)
{
	static const struct {
		const char *name;
		size_t most; /* arguments */
		enum status (*run)(struct invocation *invocation);
	} verbs[] = {
		{ "create", 2, guest_create_backup }, { "serve", 2, guest_serve_backup },
		{ "freeze", 2, guest_freeze },        { "thaw", 2, guest_freeze },
		{ "list", 2, backup_list },           { "verify", 3, backup_verify },
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, invocation->arguments[0]) != 0)
			continue;
		if (invocation->argument_count < 2 || invocation->argument_count > verbs[i].most)
			return usage_error(invocation, "'%s' takes a VM, or a folder",
					   verbs[i].name);
		return verbs[i].run(invocation);
	}
	if (invocation->argument_count > 1)
		return usage_error(invocation,
				   "'%s' is none of create, serve, freeze, thaw, list and verify",
				   invocation->arguments[0]);
	return backup_create(invocation, invocation->arguments[0]);
}

/* ---- copy ---- */

static enum status guest_begin_copy(struct invocation *invocation, const char *vm, int fd,
				    const char *path, char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = guest_new_call(invocation, vm, "CopyFile", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "hsa{sv}", fd, path, 2, "overwrite", "b",
				  (int)invocation_has(invocation, "overwrite"), "create-path", "b",
				  (int)invocation_has(invocation, "create-path"));
	return r < 0 ? service_failed(r, NULL) : job_begin(invocation, call, ret_job);
}

/* The name of the file itself, where the destination is a folder. */
static char *guest_destination(const char *path, const char *file)
{
	const char *slash = strrchr(file, '/');
	size_t length = strlen(path);
	char *whole;

	if (length > 0 && path[length - 1] != '/')
		return strdup(path);
	return asprintf(&whole, "%s%s", path, slash ? slash + 1 : file) < 0 ? NULL : whole;
}

/* The guest has confirmed every piece; this is what it reads of them. */
static enum status guest_verify_copy(struct invocation *invocation, const char *vm, int fd,
				     const char *path)
{
	char ours[DIGEST_SIZE], theirs[DIGEST_SIZE];
	enum status status = digest_of_file(fd, ours);

	if (status == STATUS_OK)
		status = digest_of_guest_file(invocation, vm, path, theirs);
	if (status != STATUS_OK) {
		fprintf(stderr,
			"vmctl: The file was copied, but could not be verified. That takes the "
			"package vmms-guest in the guest.\n");
		return STATUS_FAILED;
	}
	if (strcasecmp(ours, theirs) != 0) {
		fprintf(stderr,
			"vmctl: The guest's file is another than that of the host: its SHA-256 is\n"
			"%s, not\n%s.\n",
			theirs, ours);
		return STATUS_FAILED;
	}
	if (invocation->json &&
	    json_print(json_make("sha256", json_object_new_string(ours), NULL)) < 0)
		return service_failed(-ENOMEM, NULL);
	if (!invocation->json)
		printf("verified: SHA-256 %s\n", ours);
	return STATUS_OK;
}

/* "-": what standard input has. Return: a descriptor; -errno. */
static int guest_open_source(const char *file)
{
	int fd;

	if (strcmp(file, "-") == 0)
		return spool_input();
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

enum status command_copy(struct invocation *invocation)
{
	const char *file = invocation->arguments[0], *target = invocation->arguments[1];
	const char *colon = strchr(target, ':');
	AUTO_FREE char *name = NULL, *path = NULL;
	struct begun_job job = { .done = "has the file" };
	AUTO_CLOSE int fd = -1;
	enum status status;

	if (!colon || colon[1] != '/')
		return usage_error(invocation, "'%s' is not VM:/PATH", target);
	if (invocation_has(invocation, "verify") && invocation_has(invocation, "no-wait"))
		return usage_error(invocation, "--verify has to wait for the end of the copy");
	name = strndup(target, (size_t)(colon - target));
	path = guest_destination(colon + 1, file);
	if (!name || !path)
		return service_failed(-ENOMEM, NULL);
	fd = guest_open_source(file);
	if (fd < 0)
		return usage_error(invocation, "cannot open '%s': %s", file, strerror(-fd));
	job.vm = name;
	status = guest_begin_copy(invocation, name, fd, path, &job.path);
	if (status == STATUS_OK)
		status = job_conclude(invocation, &job, 1, true);
	if (status == STATUS_OK && invocation_has(invocation, "verify"))
		status = guest_verify_copy(invocation, name, fd, path);
	return status;
}

/* ---- dump ---- */

static enum status guest_begin_dump(struct invocation *invocation, const char *vm, int fd,
				    char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = guest_new_call(invocation, vm, "DumpMemory", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "h", fd);
	return r < 0 ? service_failed(r, NULL) : job_begin(invocation, call, ret_job);
}

/* To a file without a name, and from there to standard output, once it is whole. */
static enum status guest_dump_to_output(struct invocation *invocation, const char *name)
{
	struct begun_job job = { .vm = name };
	AUTO_CLOSE int fd = -1;
	enum status status;
	int r = 0;

	if (invocation_has(invocation, "no-wait"))
		return usage_error(invocation, "--no-wait takes a file on that host, and not '-'");
	fd = spool_new();
	if (fd < 0)
		return service_failed(fd, NULL);
	status = guest_begin_dump(invocation, name, fd, &job.path);
	if (status == STATUS_OK)
		status = job_conclude(invocation, &job, 1, true);
	if (status != STATUS_OK)
		return status;
	if (lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		r = spool_copy(fd, STDOUT_FILENO);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status guest_dump_to_file(struct invocation *invocation, const char *name,
				      const char *file)
{
	struct begun_job job = { .vm = name, .done = "dumped" };
	AUTO_CLOSE int fd = -1;
	enum status status;

	/* What a guest has in its memory is not for everybody. */
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 && errno == EEXIST)
		return usage_error(invocation, "'%s' is there already; remove it, or name another",
				   file);
	if (fd < 0)
		return usage_error(invocation, "cannot make '%s': %s", file, strerror(errno));
	status = guest_begin_dump(invocation, name, fd, &job.path);
	if (status == STATUS_OK)
		status = job_conclude(invocation, &job, 1, true);
	if (status != STATUS_OK)
		unlink(file);
	return status;
}

enum status command_dump(struct invocation *invocation)
{
	const char *name = invocation->arguments[0], *file = invocation->arguments[1];

	return strcmp(file, "-") == 0 ? guest_dump_to_output(invocation, name)
				      : guest_dump_to_file(invocation, name, file);
}
