/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event log of a VM.
 *
 * In the file an event is a line of JSON. A line that makes no sense, as the last one before a
 * power cut may, is passed over.
 */
#include "vmms/vm/vm_log.h"

#include "common/base/json.h"
#include "common/base/rate_limit.h"
#include "common/base/text.h"
#include "vmms/base/log_file.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>

#define SEQUENCE_LINES 8 /* among the last of which one surely makes sense */
#define LINE_MAX_SIZE  (6 * VM_LOG_MESSAGE_MAX + 256) /* JSON writes some bytes as six */

/* Of a kind that a guest, or its worker, can bring about as often as it likes; more would push out
 * all else. */
#define RATE_LIMIT_MOST     20                       /* events */
#define RATE_LIMIT_INTERVAL (UINT64_C(60) * 1000000) /* microseconds */

static const bool rationed[_VM_EVENT_COUNT] = {
	[VM_EVENT_RESET] = true, [VM_EVENT_CRASH] = true, [VM_EVENT_GUEST] = true,
	[VM_EVENT_DISK] = true,  [VM_EVENT_FAULT] = true, [VM_EVENT_SCREEN] = true,
};

struct vm_log {
	struct log_file *file;
	struct rate_limit rate_limits[_VM_EVENT_COUNT];
	uint64_t sequence; /* of the last event; 0: not known yet */
};

static const struct {
	const char *name, *message_id;
} kinds[] = {
	[VM_EVENT_CREATED] = { "created", "50dda77618aa438abd1872732fe57b3f" },
	[VM_EVENT_DELETED] = { "deleted", "9cd8e06800374bfcb3fecf16ee1719b8" },
	[VM_EVENT_CHANGED] = { "changed", "a2d7b7cd4fa74f4bb507f1373709eafe" },
	[VM_EVENT_STATE] = { "state", "90b01b81a86e41fe95b8d2db5e4c6910" },
	[VM_EVENT_RESET] = { "reset", "29cee1ce2ae545eb96a2c93704d5d40a" },
	[VM_EVENT_CRASH] = { "crash", "8b80be34b83e48688d57efb377f616cb" },
	[VM_EVENT_GUEST] = { "guest", "2764b26aa4534300b6d3326bfc69968b" },
	[VM_EVENT_WORKER] = { "worker", "0ec3212244114878b5244e81d6861cc7" },
	[VM_EVENT_FAULT] = { "fault", "2342be7680fa463ca57354f09916faa2" },
	[VM_EVENT_RESTART] = { "restart", "1ecafc6165be4c27b0269bb032d66f2f" },
	[VM_EVENT_NETWORK] = { "network", "ae9e424ebcf64d4ea0a6f26f9f101bfd" },
	[VM_EVENT_DISK] = { "disk", "244b096be7f041a7a18be9d6d9703963" },
	[VM_EVENT_HOST] = { "host", "2fd05e5f71b74c63b4d88f07b0d64f71" },
	[VM_EVENT_SCREEN] = { "screen", "7d1b6a0e9c5f4a3fa0d2c86b35e1f749" },
};

_Static_assert(ARRAY_SIZE(kinds) == _VM_EVENT_COUNT, "every kind has a name");

static const uint8_t priorities[] = {
	[LOG_LEVEL_ERROR] = 3,
	[LOG_LEVEL_WARNING] = 4,
	[LOG_LEVEL_INFO] = 6,
	[LOG_LEVEL_DEBUG] = 7,
};

/* ---- Life ---- */

static int log_open_file(const struct vm *vm, const char *suffix, size_t bound,
			 struct log_file **ret_file)
{
	char uuid[GUID_TEXT_SIZE], name[GUID_TEXT_SIZE + 16], directory[PATH_MAX];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(name, sizeof(name), "%s%s", uuid, suffix);
	if (snprintf(directory, sizeof(directory), "%s/" VM_LOG_FOLDER,
		     vm->manager->settings.state_directory) >= (int)sizeof(directory))
		return -ENAMETOOLONG;
	return log_file_new(directory, name, bound, ret_file);
}

int vm_log_open(struct vm *vm)
{
	struct log_file *console;
	int r;

	vm->log = calloc(1, sizeof(*vm->log));
	if (!vm->log)
		return -ENOMEM;
	for (size_t i = 0; i < _VM_EVENT_COUNT; i++)
		vm->log->rate_limits[i] = (struct rate_limit){ .most = RATE_LIMIT_MOST,
							       .interval = RATE_LIMIT_INTERVAL };
	r = log_open_file(vm, ".events", VM_LOG_BOUND, &vm->log->file);
	if (r < 0)
		return r;
	r = log_open_file(vm, ".console", CONSOLE_LOG_BOUND, &console);
	if (r == 0)
		console_keep(vm->console, console);
	return r;
}

void vm_log_free(struct vm_log *log)
{
	if (!log)
		return;
	log_file_free(log->file);
	free(log);
}

void vm_log_delete(struct vm *vm)
{
	if (!vm->log)
		return;
	log_file_delete(vm->log->file);
	console_delete_log(vm->console);
}

/* ---- Reading ---- */

/* The members of a line. */
struct line {
	uint64_t sequence, time;
	unsigned priority;
	char *event, *message;
};

#define KEY(key, reader, ...)                                                       \
	{                                                                           \
		.name = #key, .read = reader, .offset = offsetof(struct line, key), \
		.required = true, __VA_ARGS__                                       \
	}

static const struct json_key line_keys[] = {
	KEY(sequence, json_read_uint64, .minimum = 1, .maximum = INT64_MAX),
	KEY(time, json_read_uint64, .maximum = INT64_MAX),
	KEY(priority, json_read_unsigned, .maximum = 7),
	KEY(event, json_read_string, .maximum = 32),
	KEY(message, json_read_string, .maximum = VM_LOG_MESSAGE_MAX),
};

static void log_line_deinit(struct line *line)
{
	free(line->event);
	free(line->message);
}

/* Return: whether the line is an event; the caller deinits *line at any rate. */
static bool log_line_read(const char *text, size_t size, struct line *line)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);

	return json_parse(text, size, &tree, &error) == 0 &&
	       json_read(&reader, tree, line_keys, ARRAY_SIZE(line_keys), line) == 0;
}

static int log_line_give(const struct line *line,
			 int (*found)(void *data, const struct vm_log_entry *entry), void *data)
{
	const struct vm_log_entry entry = {
		.sequence = line->sequence,
		.time = line->time,
		.priority = (uint8_t)line->priority,
		.event = line->event,
		.message = line->message,
	};

	return found(data, &entry);
}

/* Where the last `count` lines begin; 0: where all do. */
static const char *log_last_lines(const char *text, size_t size, size_t count)
{
	const char *at = text + size;

	if (count == 0)
		return text;
	for (; at > text; at--) {
		if (at != text + size && at[-1] == '\n' && count-- == 1)
			return at;
	}
	return text;
}

int vm_log_each(struct vm *vm, size_t count,
		int (*found)(void *data, const struct vm_log_entry *entry), void *data)
{
	AUTO_FREE char *text = NULL;
	const char *at, *end;
	size_t size;
	int r;

	r = log_file_read(vm->log->file, VM_LOG_BOUND, &text, &size);
	if (r < 0)
		return r;
	for (at = log_last_lines(text, size, count); r >= 0 && at < text + size; at = end + 1) {
		CLEANUP(log_line_deinit) struct line line = { 0 };

		end = memchr(at, '\n', (size_t)(text + size - at));
		if (!end)
			break;
		if (log_line_read(at, (size_t)(end - at), &line))
			r = log_line_give(&line, found, data);
	}
	return MIN(r, 0);
}

/* ---- Writing ---- */

static int log_take_sequence(void *data, const struct vm_log_entry *entry)
{
	*(uint64_t *)data = entry->sequence;
	return 0;
}

static uint64_t log_next_sequence(struct vm *vm)
{
	/* What cannot be read is as if it were not there. */
	if (vm->log->sequence == 0)
		(void)!vm_log_each(vm, SEQUENCE_LINES, log_take_sequence, &vm->log->sequence);
	return ++vm->log->sequence;
}

static int log_write_entry(struct vm_log *log, const struct vm_log_entry *entry)
{
	AUTO_JSON struct json_object *tree =
		json_make("sequence", json_object_new_uint64(entry->sequence), "time",
			  json_object_new_uint64(entry->time), "priority",
			  json_object_new_int64(entry->priority), "event",
			  json_object_new_string(entry->event), "message",
			  json_object_new_string(entry->message), NULL);
	char line[LINE_MAX_SIZE];
	const char *text;
	size_t size;

	text = tree ? json_object_to_json_string_length(tree, JSON_C_TO_STRING_PLAIN, &size) : NULL;
	if (!text || size >= sizeof(line))
		return -ENOMEM;
	memcpy(line, text, size);
	line[size++] = '\n';
	return log_file_append(log->file, line, size);
}

static void log_keep(struct vm *vm, enum vm_event event, enum log_level level, const char *message)
{
	const struct vm_log_entry entry = {
		.sequence = log_next_sequence(vm),
		.time = vm_clock(CLOCK_REALTIME),
		.priority = priorities[level],
		.event = kinds[event].name,
		.message = message,
	};
	int r;

	r = log_write_entry(vm->log, &entry);
	if (r < 0)
		log_error("VM %s: its log in %s cannot be written: %s", vm->definition->name,
			  vm->manager->settings.state_directory, strerror(-r));
	manager_vm_logged(vm->manager, vm, &entry);
}

/* Fields of an entry of the journal. */
struct fields {
	struct iovec iov[8];
	int count;
	char text[3 * VM_LOG_MESSAGE_MAX];
	size_t used;
};

static void log_fields_add(struct fields *fields, const char *format, ...) PRINTF_LIKE(2, 3);

static void log_fields_add(struct fields *fields, const char *format, ...)
{
	char *field = fields->text + fields->used;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(field, sizeof(fields->text) - fields->used, format, arguments);
	va_end(arguments);
	fields->iov[fields->count++] = (struct iovec){ field, strlen(field) };
	fields->used += strlen(field) + 1;
}

/* Return: whether it is there. */
static bool log_send_to_journal(const struct vm *vm, enum vm_event event, enum log_level level,
				const char *message)
{
	char escaped[2 * VM_LOG_MESSAGE_MAX], uuid[GUID_TEXT_SIZE];
	const char *name = vm->definition->name;
	struct fields fields = { .count = 0 };

	text_escape(escaped, sizeof(escaped), message, strlen(message));
	guid_format(&vm->definition->uuid, uuid);
	log_fields_add(&fields, "MESSAGE_ID=%s", kinds[event].message_id);
	log_fields_add(&fields, "PRIORITY=%d", priorities[level]);
	log_fields_add(&fields, "SYSLOG_IDENTIFIER=vmms");
	log_fields_add(&fields, "VMMS_VM=%s", name);
	log_fields_add(&fields, "VMMS_VM_UUID=%s", uuid);
	log_fields_add(&fields, "VMMS_EVENT=%s", kinds[event].name);
	log_fields_add(&fields, "MESSAGE=VM %s: %s", name, escaped);
	return sd_journal_sendv(fields.iov, fields.count) == 0;
}

static void log_event(struct vm *vm, enum vm_event event, enum log_level level, const char *message)
{
	if (!log_leads_to_journal() || !log_send_to_journal(vm, event, level, message))
		log_write(level, "VM %s: %s", vm->definition->name, message);
	if (vm->log && event != VM_EVENT_DELETED)
		log_keep(vm, event, level, message);
}

/* Return: whether the event is to be told; and tells of those that were not. */
static bool log_take_rate_limit(struct vm *vm, enum vm_event event)
{
	char message[64];
	unsigned refused;

	if (!vm->log || !rationed[event])
		return true;
	if (!rate_limit_take(&vm->log->rate_limits[event], vm_clock(CLOCK_MONOTONIC), &refused))
		return false;
	if (refused > 0) {
		snprintf(message, sizeof(message), "too often to tell it all; left out: %u times",
			 refused);
		log_event(vm, event, LOG_LEVEL_WARNING, message);
	}
	return true;
}

void vm_log(struct vm *vm, enum vm_event event, enum log_level level, const char *format, ...)
{
	char raw[VM_LOG_MESSAGE_MAX], message[VM_LOG_MESSAGE_MAX];
	va_list arguments;

	if (!log_take_rate_limit(vm, event))
		return;
	va_start(arguments, format);
	vsnprintf(raw, sizeof(raw), format, arguments);
	va_end(arguments);
	text_repair(message, sizeof(message), raw, strlen(raw));
	log_event(vm, event, level, message);
}
