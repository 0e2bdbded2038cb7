/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl delete.
 *
 * Which images --with-disks deletes is told by the definition, which the VM's owner wrote: so they
 * are deleted with the owner's rights, whoever calls.
 */
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- What there is to delete ---- */

static enum status delete_get_text(struct invocation *invocation, const char *path,
				   const char *property, char **ret_text)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					   property, &error, ret_text);

	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static enum status delete_get_disks(struct invocation *invocation, const char *path,
				    struct json_object **ret_disks)
{
	AUTO_JSON struct json_object *definition = NULL;
	AUTO_FREE char *text = NULL;
	struct json_object *disks;
	struct json_error why;
	enum status status = delete_get_text(invocation, path, "Definition", &text);

	if (status != STATUS_OK)
		return status;
	if (json_parse(text, strlen(text), &definition, &why) < 0 ||
	    !json_object_object_get_ex(definition, "disks", &disks))
		return service_failed(-EBADMSG, NULL);
	*ret_disks = json_object_get(disks);
	return STATUS_OK;
}

/* The path of an image that the VM has for itself: a disk that it may write. NULL: it is none. */
static const char *delete_own_image(struct json_object *disk)
{
	struct json_object *value;

	if (json_object_object_get_ex(disk, "read_only", &value) && json_object_get_boolean(value))
		return NULL;
	if (json_object_object_get_ex(disk, "type", &value) &&
	    strcmp(json_object_get_string(value), "disk") != 0)
		return NULL;
	return json_object_object_get_ex(disk, "path", &value) ? json_object_get_string(value)
							       : NULL;
}

/* Neither by its name nor by another that the file has. */
static bool delete_is_same_image(const char *a, const char *b)
{
	struct stat first, second;

	return strcmp(a, b) == 0 ||
	       (stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
		first.st_ino == second.st_ino);
}

/* other: the name of a VM. Return: STATUS_WRONG_STATE, said, if it has one of the images. */
static enum status delete_check_against(struct json_object *disks, struct json_object *others,
					const char *other)
{
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		const char *path = delete_own_image(json_object_array_get_idx(disks, i));

		for (size_t j = 0; path && j < json_object_array_length(others); j++) {
			struct json_object *value;
			AUTO_FREE char *escaped = NULL;

			if (!json_object_object_get_ex(json_object_array_get_idx(others, j), "path",
						       &value) ||
			    !delete_is_same_image(path, json_object_get_string(value)))
				continue;
			escaped = text_escape_new(path, strlen(path));
			fprintf(stderr,
				"vmctl: '%s' is a disk of VM '%s', too; nothing has been "
				"deleted\n",
				escaped ? escaped : "", other);
			return STATUS_WRONG_STATE;
		}
	}
	return STATUS_OK;
}

/* No other VM that the caller sees has one of the images. */
static enum status delete_check_others(struct invocation *invocation, const char *path,
				       struct json_object *disks)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	struct listed_vm vm;
	enum status status;
	int r;

	status = service_list_vms(invocation, &reply);
	if (status != STATUS_OK)
		return status;
	while ((r = service_next_vm(reply, &vm)) > 0) {
		AUTO_JSON struct json_object *others = NULL;

		if (strcmp(vm.path, path) == 0)
			continue;
		status = delete_get_disks(invocation, vm.path, &others);
		if (status == STATUS_OK)
			status = delete_check_against(disks, others, vm.name);
		if (status != STATUS_OK)
			return status;
	}
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- Deleting images ---- */

/* Root becomes the owner; others are it, or cannot delete what is not theirs. Return: 0, -errno. */
static int delete_become_owner(const char *owner)
{
	const struct passwd *user;

	if (geteuid() != 0 || owner[0] == '\0' || strcmp(owner, "root") == 0)
		return 0;
	errno = ENOENT;
	user = getpwnam(owner);
	if (!user || initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
	    setuid(user->pw_uid) < 0)
		return -errno;
	return 0;
}

/* Return: 0; -errno; -EXDEV: it is no regular file, and stays. */
static int delete_image(const char *path)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EXDEV;
	return unlink(path) < 0 ? -errno : 0;
}

/* In a process of its own. Return: its exit status. */
static int delete_images(struct invocation *invocation, struct json_object *disks,
			 const char *owner)
{
	int r = delete_become_owner(owner), status = STATUS_OK;

	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		const char *path = delete_own_image(json_object_array_get_idx(disks, i));
		AUTO_FREE char *escaped = path ? text_escape_new(path, strlen(path)) : NULL;
		int result;

		if (!escaped)
			continue;
		result = r < 0 ? r : delete_image(path);
		if (result == 0) {
			output_say(invocation, "'%s' deleted", path);
			continue;
		}
		fprintf(stderr, "vmctl: '%s' stays: %s\n", escaped,
			result == -EXDEV ? "it is no regular file" : strerror(-result));
		if (result != -EXDEV)
			status = STATUS_FAILED;
	}
	return status;
}

static enum status delete_as_owner(struct invocation *invocation, struct json_object *disks,
				   const char *owner)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return service_failed(-errno, NULL);
	if (pid == 0) {
		status = delete_images(invocation, disks, owner);
		fflush(NULL);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? (enum status)WEXITSTATUS(status) : STATUS_FAILED;
}

/* ---- The command ---- */

static enum status delete_vm(struct invocation *invocation, const char *name, const char *said)
{
	enum status status =
		service_call_manager(invocation, "DeleteVM", SERVICE_TIMEOUT, NULL, "s", name);

	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' deleted%s", name, said);
	return status;
}

static enum status delete_with_disks(struct invocation *invocation, const char *name)
{
	AUTO_JSON struct json_object *disks = NULL;
	AUTO_FREE char *path = NULL, *owner = NULL;
	enum status status;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		status = delete_get_text(invocation, path, "Owner", &owner);
	if (status == STATUS_OK)
		status = delete_get_disks(invocation, path, &disks);
	if (status == STATUS_OK)
		status = delete_check_others(invocation, path, disks);
	if (status == STATUS_OK)
		status = delete_vm(invocation, name, "");
	return status == STATUS_OK ? delete_as_owner(invocation, disks, owner) : status;
}

enum status command_delete(struct invocation *invocation)
{
	bool with_disks = invocation_has(invocation, "with-disks");
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		const char *name = invocation->arguments[i];
		enum status status =
			with_disks ? delete_with_disks(invocation, name)
				   : delete_vm(invocation, name, "; its disk images stay");

		if (first == STATUS_OK)
			first = status;
	}
	return first;
}
