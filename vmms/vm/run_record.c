/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VMs run, as files. */
#include "vmms/vm/run_record.h"

#include "common/base/json.h"
#include "common/base/log.h"
#include "vmms/base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID   "/proc/sys/kernel/random/boot_id"
#define BOOT_FILE "boot"

struct run_record {
	struct folder *folder;
	char boot[GUID_TEXT_SIZE];
	bool first;
};

static int record_read_text(const char *path, char *text, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* The files are of this boot. */
static bool record_is_current(const struct run_record *record)
{
	AUTO_FREE char *path = folder_file_path(record->folder, BOOT_FILE);
	AUTO_JSON struct json_object *tree = NULL;
	struct json_object *value;
	struct json_error error;
	char text[256];

	if (!path || record_read_text(path, text, sizeof(text)) < 0 ||
	    json_parse(text, strlen(text), &tree, &error) < 0)
		return false;
	return json_object_object_get_ex(tree, "boot_id", &value) &&
	       json_object_is_type(value, json_type_string) &&
	       strcmp(json_object_get_string(value), record->boot) == 0;
}

static int record_forget_file(void *data, const char *name, const char *path)
{
	struct run_record *record = data;

	return folder_delete(record->folder, name);
}

/* In this order, so that a crash in between is no end of it. */
static int record_begin_boot(struct run_record *record)
{
	AUTO_JSON struct json_object *tree =
		json_make("boot_id", json_object_new_string(record->boot), NULL);
	int r;

	r = folder_each(record->folder, record_forget_file, record);
	if (r == 0)
		r = tree ? folder_save(record->folder, BOOT_FILE, tree) : -ENOMEM;
	return r;
}

int run_record_open(const char *runtime_directory, struct run_record **ret_record)
{
	CLEANUP(run_record_freep) struct run_record *record = calloc(1, sizeof(*record));
	int r;

	if (!record)
		return -ENOMEM;
	r = record_read_text(BOOT_ID, record->boot, sizeof(record->boot));
	if (r == 0)
		r = folder_open(runtime_directory, "running", &record->folder);
	if (r < 0)
		return r;
	record->first = !record_is_current(record);
	if (record->first)
		r = record_begin_boot(record);
	if (r < 0)
		return r;
	*ret_record = TAKE_PTR(record);
	return 0;
}

void run_record_free(struct run_record *record)
{
	if (!record)
		return;
	folder_free(record->folder);
	free(record);
}

bool run_record_is_first(const struct run_record *record)
{
	return record->first;
}

void run_record_settle(struct run_record *record)
{
	record->first = false;
}

bool run_record_has(const struct run_record *record, const struct guid *vm)
{
	char name[GUID_TEXT_SIZE];

	guid_format(vm, name);
	return folder_has(record->folder, name);
}

static void record_complain(const struct run_record *record, int r)
{
	log_warning("cannot write down in %s which VMs run: %s", folder_path(record->folder),
		    strerror(-r));
}

void run_record_add(struct run_record *record, const struct guid *vm, const char *name)
{
	AUTO_JSON struct json_object *tree = json_make("name", json_object_new_string(name), NULL);
	char file[GUID_TEXT_SIZE];
	int r;

	guid_format(vm, file);
	r = tree ? folder_save(record->folder, file, tree) : -ENOMEM;
	if (r < 0)
		record_complain(record, r);
}

void run_record_remove(struct run_record *record, const struct guid *vm)
{
	char file[GUID_TEXT_SIZE];
	int r;

	guid_format(vm, file);
	r = folder_delete(record->folder, file);
	if (r < 0 && r != -ENOENT)
		record_complain(record, r);
}
