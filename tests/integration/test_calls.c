/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of a script (tests/integration/calls.jsonl says what is in it), made to a worker: each
 * answer is as the script has it, and fits the contract without a key that it does not know.
 *
 * usage: test_calls SCRIPT WORKER [kvm]
 *
 * With "kvm" the worker needs the host's; the test is skipped where there is none.
 */
#include "common/control_contract.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "tests/unit/vmwp/machine/guest_code.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED   77
#define FILES_MAX 4
#define TIMEOUT   (60 * 1000) /* milliseconds, for whatever ought to happen at once */

static struct {
	pid_t worker;
	int socket;
	unsigned line; /* of the script */
	uint32_t id;
	const char *text;
} test;

_Noreturn static void fail_line(const char *format, ...) PRINTF_LIKE(1, 2);

_Noreturn static void fail_line(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "line %u: %sline %u: ", test.line, test.text, test.line);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	if (test.worker > 0)
		kill(test.worker, SIGKILL);
	exit(1);
}

static void need(bool good, const char *what)
{
	if (!good)
		fail_line("%s: %s", what, strerror(errno));
}

/* ---- The worker ---- */

_Noreturn static void become_worker(const char *program, int listener)
{
	int inherited = dup(listener); /* another number than CONTROL_FD, or dup2() does nothing */

	if (dup2(inherited, CONTROL_FD) >= 0)
		execl(program, program, "--control-fd", "3", NULL);
	_exit(127);
}

static void start_worker(const char *program)
{
	char folder[] = "/tmp/vmms-calls-XXXXXX", path[64];
	int listener;

	need(mkdtemp(folder), folder);
	snprintf(path, sizeof(path), "%s/socket", folder);
	need(control_listen(path, &listener) == 0 && control_connect(path, &test.socket) == 0,
	     path);
	test.worker = fork();
	if (test.worker == 0)
		become_worker(program, listener);
	need(test.worker > 0, program);
	close(listener);
	unlink(path);
	rmdir(folder);
}

static void wait_end(void)
{
	int status;

	need(waitpid(test.worker, &status, 0) == test.worker, "the worker's end");
	test.worker = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_line("the worker ended with status %#x", (unsigned)status);
}

/* ---- Files ---- */

static int open_memory(off_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	need(fd >= 0 && ftruncate(fd, size) == 0, "a file");
	return fd;
}

static int open_kernel(void)
{
	static const uint8_t code[] = { GUEST_HALT };
	struct kernel_image image;

	kernel_image_elf(&image, ELFCLASS64, code, sizeof(code));
	return kernel_image_file(&image);
}

/* A connected one; the other end is kept until the test ends. */
static int open_socket(void)
{
	int sockets[2];

	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0, "a socket");
	return sockets[0];
}

static int open_file(const char *kind)
{
	int fd;

	if (strcmp(kind, "empty") == 0)
		return open_memory(0);
	if (strcmp(kind, "disk") == 0)
		return open_memory(1 << 20);
	if (strcmp(kind, "kernel") == 0)
		return open_kernel();
	if (strcmp(kind, "serial") == 0 || strcmp(kind, "socket") == 0)
		return open_socket();
	fd = open(strcmp(kind, "kvm") == 0 ? "/dev/kvm" : "/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0) /* the fake worker will do without */
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	need(fd >= 0, kind);
	return fd;
}

static size_t open_files(struct json_object *kinds, int fds[FILES_MAX])
{
	size_t count = kinds ? json_object_array_length(kinds) : 0;

	need(count <= FILES_MAX, "so many files");
	for (size_t i = 0; i < count; i++)
		fds[i] = open_file(json_object_get_string(json_object_array_get_idx(kinds, i)));
	return count;
}

/* ---- Messages ---- */

static void receive(struct control_message *message)
{
	struct pollfd poller = { test.socket, POLLIN, 0 };
	int r;

	do {
		need(poll(&poller, 1, TIMEOUT) == 1, "nothing came from the worker");
		r = control_receive(test.socket, message);
	} while (r == CONTROL_E_EMPTY);
	if (r != 0)
		fail_line("what came from the worker is no message (%d)", r);
}

static void check_event(const struct control_message *message)
{
	struct control_event_data data;
	struct json_error error;
	enum control_event_id id;
	int r;

	r = control_event_read(message->name, message->body, &id, &data, &error);
	if (r == CONTROL_E_UNKNOWN)
		fail_line("there is no event %s", message->name);
	if (r != 0)
		fail_line("event %s: %s: %s", message->name, error.key, error.message);
	control_event_data_deinit(&data);
}

static bool has_members(struct json_object *found, struct json_object *wanted)
{
	json_object_object_foreach(wanted, key, value)
	{
		if (!json_object_equal(json_object_object_get(found, key), value))
			return false;
	}
	return true;
}

static void check_result(const char *method, struct json_object *result, struct json_object *wanted)
{
	struct json_error error;
	struct json_reader strict = JSON_READER(&error);

	if (control_result_check(control_method_find(method), result, &strict) < 0)
		fail_line("the result does not fit: %s: %s", error.key, error.message);
	if (!has_members(result, wanted))
		fail_line("the result is %s", json_object_to_json_string(result));
}

static void check_error(const struct control_message *answer, struct json_object *call)
{
	const char *code = json_object_get_string(json_object_object_get(call, "error"));
	const char *says = json_object_get_string(json_object_object_get(call, "says"));

	if (!code || strcmp(answer->name, code) != 0)
		fail_line("the worker refuses: %s: %s", answer->name, answer->text);
	if (says && strcmp(answer->text, says) != 0)
		fail_line("the worker says: %s", answer->text);
}

/* Events come between request and answer, and are kept until the script asks for them. */
static struct control_message kept[64];
static size_t kept_count;

static void keep(struct control_message *event)
{
	check_event(event);
	need(kept_count < ARRAY_SIZE(kept), "so many events");
	kept[kept_count++] = *event;
}

static void wait_answer(struct control_message *answer)
{
	for (;;) {
		receive(answer);
		if (answer->kind != CONTROL_EVENT)
			break;
		keep(answer);
	}
	if (answer->id != test.id)
		fail_line("request %u is answered, not %u", answer->id, test.id);
}

static void make_call(const char *method, struct json_object *call)
{
	struct json_object *result = json_object_object_get(call, "result");
	struct control_message answer;
	int fds[FILES_MAX];
	size_t count = open_files(json_object_object_get(call, "files"), fds);

	need(control_send_request(test.socket, ++test.id, method,
				  json_object_object_get(call, "arguments"), fds, count) == 0,
	     "the request");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	wait_answer(&answer);
	if (answer.kind == CONTROL_ERROR)
		check_error(&answer, call);
	else if (!result)
		fail_line("the worker does it");
	else
		check_result(method, answer.body, result);
	control_message_deinit(&answer);
}

/* Others that came before it are of no interest any more. */
static void await_event(const char *name, struct json_object *wanted)
{
	struct control_message event;
	bool found = false;

	while (!found) {
		if (kept_count > 0) {
			event = kept[0];
			memmove(kept, kept + 1, --kept_count * sizeof(event));
		} else {
			receive(&event);
			check_event(&event);
		}
		found = strcmp(event.name, name) == 0 && has_members(event.body, wanted);
		control_message_deinit(&event);
	}
}

/* ---- The script ---- */

static void run_line(const char *text)
{
	AUTO_JSON struct json_object *line = json_tokener_parse(text);
	struct json_object *name;

	if (!line)
		fail_line("this is no JSON");
	if (json_object_object_get_ex(line, "event", &name))
		await_event(json_object_get_string(name), json_object_object_get(line, "data"));
	else
		make_call(json_object_get_string(json_object_object_get(line, "call")), line);
}

static unsigned run_script(const char *path)
{
	FILE *file = fopen(path, "re");
	char text[4096];
	unsigned count = 0;

	need(file, path);
	test.text = text;
	while (fgets(text, sizeof(text), file)) {
		test.line++;
		if (text[0] == '#' || text[0] == '\n')
			continue;
		run_line(text);
		count++;
	}
	fclose(file);
	return count;
}

int main(int argc, char *argv[])
{
	test.text = "";
	if (argc < 3)
		return 2;
	if (argc > 3 && access("/dev/kvm", R_OK | W_OK) != 0) {
		puts("skipped: /dev/kvm is not there, or not for us to use");
		return SKIPPED;
	}
	start_worker(argv[2]);
	printf("%u lines of %s are as they should be\n", run_script(argv[1]), argv[1]);
	wait_end();
	return 0;
}
