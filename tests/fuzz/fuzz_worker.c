/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon makes of a hostile worker: its events and replies, the record of a VM that an
 * earlier daemon left, and what a worker left of its end.
 *
 * The input is lines. "r…" is the record (else it is a good one), "e…" what was left of the end,
 * and then the worker has ended; both count before the first line of another kind. "{…" is a
 * message of the worker, whose replies go to the requests that wait, whatever their number. "x"
 * and a digit is how it ends, by that exit status or, "x-9", a signal. A letter has the daemon do
 * something, by which it asks the worker.
 */
#include "common/base/log.h"
#include "common/control_contract.h"
#include "vmms/units/units.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/statistics.h"
#include "vmms/vm/vm_dump.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_memory.h"
#include "vmms/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUESTS_MAX 64
#define UUID         "01234567-89ab-cdef-0123-456789abcdef"
#define QUEUE        "/vmms-89abcdef-0123-4567-89ab-cdef01234567"

#define DEFINITION                                                                        \
	"{\"version\":1,\"name\":\"vm\",\"uuid\":\"" UUID                                 \
	"\",\"boot\":{\"kernel\":\"/nowhere\"},\"memory\":{\"size\":\"64M\",\"dynamic\":" \
	"{\"minimum\":\"32M\",\"maximum\":\"128M\"}},\"services\":{\"sockets\":false},"   \
	"\"disks\":[{\"controller\":0,\"lun\":0,\"path\":\"/nowhere\"},"                  \
	"{\"controller\":0,\"lun\":1,\"type\":\"dvd\"}],"                                 \
	"\"network_adapters\":[{\"name\":\"nic0\",\"mac\":\"02:00:00:00:00:01\"}]}"

#define RECORD                                                                            \
	"{\"version\":1,\"pid\":2147483647,\"start_time\":1,\"user\":0,\"started_at\":1," \
	"\"run_name\":\"vm\",\"definition\":" DEFINITION ",\"adapters\":[],\"images\":[]}"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- A worker that is no process ---- */

struct request {
	const struct control_method *method;
	worker_reply_fn reply;
	void *data;
};

static struct worker {
	struct worker_config config;
	struct process process;
	struct request requests[REQUESTS_MAX];
	size_t count;
	bool there, ended; /* ended: before it was taken over */
	struct worker_exit exit;
} worker;

static void answer(size_t index, struct json_object *result, const char *code, const char *text)
{
	struct request request = worker.requests[index];

	worker.count--;
	memmove(worker.requests + index, worker.requests + index + 1,
		(worker.count - index) * sizeof(request));
	if (request.reply)
		request.reply(request.data, result, code, text);
}

int worker_request(struct worker *asked, const char *method, struct json_object *arguments,
		   const int *fds, size_t fd_count, unsigned timeout, worker_reply_fn reply,
		   void *data)
{
	if (worker.count == REQUESTS_MAX)
		return -EAGAIN;
	worker.requests[worker.count++] =
		(struct request){ control_method_find(method), reply, data };
	if (!worker.requests[worker.count - 1].method)
		abort();
	return 0;
}

int worker_request_with_files(struct worker *asked, const char *method,
			      struct json_object *arguments, const struct worker_files *files,
			      unsigned timeout, worker_reply_fn reply, void *data)
{
	return worker_request(asked, method, arguments, NULL, 0, timeout, reply, data);
}

int worker_spawn(struct watches *watches, const struct worker_config *config,
		 struct worker **ret_worker)
{
	return -EPERM;
}

int worker_adopt(struct watches *watches, const struct worker_config *config,
		 const struct process *process, int serial, worker_reply_fn adopted,
		 struct worker **ret_worker)
{
	if (worker.ended)
		return -ESRCH;
	worker.config = *config;
	worker.process = *process;
	worker.there = true;
	*ret_worker = &worker;
	return worker_request(&worker, "adopt", NULL, NULL, 0, 0, adopted, config->owner);
}

int worker_lend_socket(struct worker *lent, uint32_t *ret_id)
{
	*ret_id = 0;
	return -1;
}

void worker_free(struct worker *freed)
{
	if (freed)
		worker.there = false;
	worker.count = 0;
}

void worker_retire(struct worker *retired)
{
	worker_free(retired);
}

void worker_rename(struct worker *renamed, const char *name)
{
}

int worker_limit_files(struct worker *limited, uint64_t size)
{
	return 0;
}

int worker_file_limit(struct worker *limited, uint64_t *ret_size)
{
	*ret_size = UINT64_MAX;
	return 0;
}

void worker_kill(struct worker *killed, int signal)
{
}

uint32_t worker_next_request(const struct worker *asked)
{
	return 1;
}

pid_t worker_pid(const struct worker *asked)
{
	return worker.process.pid;
}

const struct process *worker_process(const struct worker *asked)
{
	return &worker.process;
}

/* As vmms/worker/worker.c does. */
static bool fits(const struct request *request, struct json_object *result)
{
	struct json_error error;
	struct json_reader reader = { .error = &error, .ignores_unknown = true };

	return control_result_check(request->method, result, &reader) == 0;
}

static void worker_says(const char *text, size_t size)
{
	struct control_message message;
	size_t index;

	if (size > CONTROL_MESSAGE_MAX || control_decode(text, size, &message) != 0)
		return;
	index = worker.count > 0 ? message.id % worker.count : 0;
	if (message.kind == CONTROL_EVENT && message.size <= CONTROL_EVENT_MAX)
		worker.config.callbacks->event(worker.config.owner, message.name, message.body);
	else if (message.kind == CONTROL_REPLY && worker.count > 0 &&
		 fits(&worker.requests[index], message.body))
		answer(index, message.body, NULL, NULL);
	else if (message.kind == CONTROL_REPLY && worker.count > 0)
		answer(index, NULL, CONTROL_ERROR_FAILED, "the answer makes no sense");
	else if (message.kind == CONTROL_ERROR && worker.count > 0)
		answer(index, NULL, message.name, message.text);
	control_message_deinit(&message);
}

static void worker_set_exit(const char *text, size_t size)
{
	bool killed = size > 1 && text[0] == '-';

	if (size > killed)
		worker.exit = (struct worker_exit){ .status = killed ? -1 : text[0] & 15,
						    .signal = killed ? text[1] & 31 : 0,
						    .last_words = "last words" };
}

/* As vmms/worker/worker.c does. */
static void worker_ends(void)
{
	while (worker.there && worker.count > 0)
		answer(0, NULL, WORKER_ENDED, "the worker has ended");
	if (worker.there)
		worker.config.callbacks->exited(worker.config.owner, &worker.exit);
	if (worker.there)
		abort(); /* it is let go of */
}

/* ---- What the daemon does meanwhile ---- */

static void done(void *data, const struct failure *failure)
{
}

static void told(void *data, struct json_object *result, const struct failure *failure)
{
}

static void counted(void *data, struct manager *manager)
{
}

static void do_something(struct manager *manager, struct vm *vm, char what)
{
	const struct vm_copy_options copy = { .path = "/root/file" };
	const struct vm_shutdown_options shutdown = { 0 };
	struct statistics_query *query;
	struct failure failure;
	struct job *job;
	int fd;

	switch (what) {
	case 'p':
		(void)!vm_pause(vm, done, NULL, &failure);
		break;
	case 'u':
		(void)!vm_resume(vm, done, NULL, &failure);
		break;
	case 't':
		(void)!vm_reset(vm, done, NULL, &failure);
		break;
	case 's':
		(void)!vm_shut_down(vm, &shutdown, done, NULL, &failure);
		break;
	case 'o':
		(void)!vm_turn_off(vm, done, NULL, &failure);
		break;
	case 'd':
		(void)!vm_detach_disk(vm, 0, 0, done, NULL, &failure);
		break;
	case 'j':
		(void)!vm_eject_medium(vm, 0, 1, false, done, NULL, &failure);
		break;
	case 'n':
		(void)!vm_remove_adapter(vm, "nic0", done, NULL, &failure);
		break;
	case 'f':
		(void)!vm_freeze(vm, 10, &job, &failure);
		break;
	case 'c':
	case 'm':
		fd = memfd_create("file", MFD_CLOEXEC);
		(void)!(what == 'c' ? vm_copy_file(vm, fd, &copy, &job, &failure)
				    : vm_dump_memory(vm, fd, &job, &failure));
		close(fd);
		break;
	case 'k':
		(void)!vm_guest_ask(vm, "list_values", NULL, -1, 1, told, NULL, &failure);
		break;
	case 'S':
		(void)!statistics_ask(manager, vm, counted, NULL, &query);
		break;
	default:
		break;
	}
}

/* ---- The daemon ---- */

static char folder[] = "/dev/shm/vmms-fuzz-XXXXXX";
static char state_folder[64], runtime_folder[64];
static sd_event *loop;
static struct manager *manager;

static void write_file(const char *suffix, const char *text, size_t size)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/workers/" UUID "%s", runtime_folder, suffix);
	file = fopen(path, "we");
	if (!file || fwrite(text, 1, size, file) != size || fclose(file) != 0)
		abort();
}

static void leave_end(const char *text, size_t size)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = CONTROL_END_MAX };
	mqd_t queue = mq_open(QUEUE, O_WRONLY | O_CREAT | O_NONBLOCK, 0600, &attributes);

	(void)mq_send(queue, text, size, 0);
	mq_close(queue);
	write_file(".end", QUEUE, strlen(QUEUE));
}

static void remove_folder(void)
{
	char command[128];

	manager_free(manager);
	sd_event_unref(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	(void)!system(command);
	mq_unlink(QUEUE);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct manager_settings settings = { .worker = "/bin/false",
						    .saved_directory = "",
						    .hypervisor = "/dev/null",
						    .passt = "/bin/false",
						    .image_server = "/bin/false",
						    .image_guard = "/bin/false",
						    .screen = "/bin/false" };

	log_set_level(LOG_LEVEL_ERROR);
	if (!mkdtemp(folder) || sd_event_new(&loop) < 0)
		abort();
	snprintf(state_folder, sizeof(state_folder), "%s/state", folder);
	snprintf(runtime_folder, sizeof(runtime_folder), "%s/run", folder);
	settings.state_directory = state_folder;
	settings.runtime_directory = runtime_folder;
	if (units_new(loop, NULL, UNITS_NEVER, &settings.units) < 0 ||
	    manager_new(loop, &settings, &manager) < 0)
		abort();
	atexit(remove_folder);
	return 0;
}

_Noreturn static void fail(const char *what, const char *message)
{
	fprintf(stderr, "%s: %s\n", what, message);
	abort();
}

static struct vm *make_vm(void)
{
	struct definition *definition;
	struct json_error error;
	struct failure failure;
	struct vm *vm;

	if (definition_parse(DEFINITION, strlen(DEFINITION), &definition, &error) < 0)
		fail(error.key, error.message);
	if (manager_create_vm(manager, definition, &vm, &failure) < 0)
		fail("the VM", failure.message);
	return vm;
}

static void delete_vm(void)
{
	struct guid uuid;
	struct failure failure;
	struct vm *vm;

	if (guid_parse(UUID, &uuid) < 0)
		abort();
	vm = manager_find_uuid(manager, &uuid);
	if (!vm || manager_delete_vm(manager, vm, &failure) < 0)
		abort();
}

/* Lines of the input that are there before the daemon. */
static size_t take_files(const char *text, size_t size)
{
	size_t at = 0;

	worker.ended = false;
	worker.exit = (struct worker_exit){ .unknown = true, .last_words = "last words" };
	write_file(".json", RECORD, strlen(RECORD));
	while (at < size && (text[at] == 'r' || text[at] == 'e')) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = (end ? (size_t)(end - text) : size) - at;

		if (text[at] == 'r') {
			write_file(".json", text + at + 1, length - 1);
		} else {
			leave_end(text + at + 1, length - 1);
			worker.ended = true;
		}
		at += length + (end != NULL);
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct vm *vm = make_vm();
	size_t at = take_files(text, size);

	vm_adopt(vm);
	while (at < size && worker.there) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = (end ? (size_t)(end - text) : size) - at;

		if (length > 0 && text[at] == '{')
			worker_says(text + at, length);
		else if (length > 0 && text[at] == 'x')
			worker_set_exit(text + at + 1, length - 1);
		else if (length > 0)
			do_something(manager, vm, text[at]);
		at += length + (end != NULL);
	}
	worker_ends();
	delete_vm();
	while (sd_event_run(loop, 0) > 0)
		;
	return 0;
}
