/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl exec: a program in a guest, by the guest's agent (common/wire/exec.h).
 *
 * What the agent sends is a guest's: a frame that makes no sense ends the session. Output of the
 * program is passed on as it is, as that of ssh would be. Signals are taken by a descriptor, among
 * the others that are waited for, and passed on.
 */
#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/wire/exec.h"
#include "vmms/vmctl/guest_socket.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATUS_OF_SIGNAL 128 /* and its number, as shells have it */
#define SIGNALS_MAX      3   /* that are passed on; who sends more has a guest that hangs */

struct exec {
	struct invocation *invocation;
	int fd, signals;
	unsigned signal_count;
	bool terminal, input_open;
	bool done;
	int status;
	struct exec_reader reader;
	/* To be sent. */
	uint8_t bytes[4 * (sizeof(struct exec_header) + EXEC_PAYLOAD_MAX)];
	size_t first, end;
};

static void end(struct exec *exec, int status)
{
	exec->done = true;
	exec->status = status;
}

/* ---- To the agent ---- */

static size_t exec_room(const struct exec *exec)
{
	return sizeof(exec->bytes) - exec->end;
}

/* Room for it there has to be. */
static void exec_put_frame(struct exec *exec, enum exec_type type, const void *payload, size_t size)
{
	const struct exec_header header = { .type = (uint8_t)type, .size = (uint16_t)size };

	memcpy(exec->bytes + exec->end, &header, sizeof(header));
	if (size > 0)
		memcpy(exec->bytes + exec->end + sizeof(header), payload, size);
	exec->end += sizeof(header) + size;
}

/* Return: 0; -errno: the agent is gone. */
static int exec_send_some(struct exec *exec, int flags)
{
	ssize_t size = send(exec->fd, exec->bytes + exec->first, exec->end - exec->first,
			    MSG_NOSIGNAL | flags);

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	exec->first += (size_t)size;
	if (exec->first == exec->end)
		exec->first = exec->end = 0;
	return 0;
}

static int exec_send_all(struct exec *exec)
{
	int r = 0;

	while (r == 0 && exec->end > 0)
		r = exec_send_some(exec, 0);
	return r;
}

static struct exec_size exec_terminal_size(void)
{
	struct winsize window = { .ws_row = 24, .ws_col = 80 };

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
	return (struct exec_size){ window.ws_row, window.ws_col };
}

static int exec_send_request(struct exec *exec, const struct invocation *invocation)
{
	const struct exec_open open = { .version = EXEC_VERSION,
					.flags = exec->terminal ? EXEC_FLAG_TERMINAL : 0,
					.size = exec_terminal_size() };
	const char *term = getenv("TERM");
	int r = 0;

	exec_put_frame(exec, EXEC_OPEN, &open, sizeof(open));
	if (exec->terminal && term && strlen(term) < 64)
		exec_put_frame(exec, EXEC_TERM, term, strlen(term));
	for (size_t i = 1; r == 0 && i < invocation->argument_count; i++) {
		exec_put_frame(exec, EXEC_ARGUMENT, invocation->arguments[i],
			       strlen(invocation->arguments[i]));
		r = exec_send_all(exec);
	}
	exec_put_frame(exec, EXEC_RUN, NULL, 0);
	return r < 0 ? r : exec_send_all(exec);
}

static void exec_read_input(struct exec *exec)
{
	uint8_t bytes[EXEC_PAYLOAD_MAX];
	ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	exec->input_open = size > 0;
	exec_put_frame(exec, EXEC_INPUT, bytes, size > 0 ? (size_t)size : 0);
}

static void exec_read_signal(struct exec *exec)
{
	struct signalfd_siginfo info;
	struct exec_size size;
	uint8_t number;

	if (read(exec->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		size = exec_terminal_size();
		exec_put_frame(exec, EXEC_SIZE, &size, sizeof(size));
	} else if (exec->signal_count++ == SIGNALS_MAX) {
		end(exec, STATUS_OF_SIGNAL + (int)info.ssi_signo);
	} else {
		number = (uint8_t)info.ssi_signo;
		exec_put_frame(exec, EXEC_SIGNAL, &number, sizeof(number));
	}
}

/* ---- From the agent ---- */

static const char gone[] =
	"the agent of the guest has ended; its log there has the unit vmms-guest-agent@*";

static void exec_fail(struct exec *exec, const char *text, size_t size)
{
	AUTO_FREE char *escaped = text_escape_new(text, size);

	fprintf(stderr, "vmctl: %s\n", escaped ? escaped : "out of memory");
	end(exec, STATUS_FAILED);
}

static void exec_take_frame(struct exec *exec, const struct exec_frame *frame)
{
	static const char nonsense[] = "the agent of the guest says what makes no sense";
	bool is_output = frame->type == EXEC_OUTPUT || frame->type == EXEC_ERRORS;
	uint8_t value;

	if (is_output) {
		if (file_write_all(frame->type == EXEC_OUTPUT ? STDOUT_FILENO : STDERR_FILENO,
				   frame->payload, frame->size) < 0)
			end(exec, STATUS_FAILED);
	} else if (frame->type == EXEC_EXITED && exec_frame_get(frame, &value, sizeof(value))) {
		end(exec, value);
	} else if (frame->type == EXEC_KILLED && exec_frame_get(frame, &value, sizeof(value))) {
		end(exec, STATUS_OF_SIGNAL + value);
	} else if (frame->type == EXEC_FAILED) {
		exec_fail(exec, (const char *)frame->payload, frame->size);
	} else {
		exec_fail(exec, nonsense, sizeof(nonsense) - 1);
	}
}

/* Of another host, vmctl there has said it if there never was a connection. */
static void exec_lose_agent(struct exec *exec)
{
	enum status status = remote_stream_end(exec->invocation);

	if (status == STATUS_OK)
		exec_fail(exec, gone, sizeof(gone) - 1);
	else
		end(exec, (int)status);
}

static void exec_receive(struct exec *exec)
{
	struct exec_frame frame;
	size_t size;
	uint8_t *at = exec_reader_room(&exec->reader, &size);
	ssize_t n = recv(exec->fd, at, size, MSG_DONTWAIT);
	int r = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	exec_reader_fill(&exec->reader, n > 0 ? (size_t)n : 0);
	while (!exec->done && (r = exec_reader_next(&exec->reader, &frame)) == 0)
		exec_take_frame(exec, &frame);
	if (!exec->done && r == EXEC_E_INVALID)
		exec_fail(exec, gone, sizeof(gone) - 1);
	else if (!exec->done && n <= 0)
		exec_lose_agent(exec);
}

/* ---- The session ---- */

static void exec_take_signals(struct exec *exec)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	if (exec->terminal)
		sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	exec->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Nothing is read for which there is no room. */
static void exec_turn(struct exec *exec)
{
	/* A frame of each: of input, and of a signal. */
	bool takes = exec_room(exec) >= 2 * (sizeof(struct exec_header) + EXEC_PAYLOAD_MAX);
	struct pollfd fds[] = {
		{ exec->fd, (short)(POLLIN | (exec->end > 0 ? POLLOUT : 0)), 0 },
		{ takes && exec->input_open ? STDIN_FILENO : -1, POLLIN, 0 },
		{ takes ? exec->signals : -1, POLLIN, 0 },
	};

	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return;
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
		exec_receive(exec);
	if (fds[1].revents)
		exec_read_input(exec);
	if (fds[2].revents)
		exec_read_signal(exec);
	/* What cannot be sent shows when the next is received. */
	if (exec->end > 0)
		(void)exec_send_some(exec, MSG_DONTWAIT);
}

static enum status exec_run(const struct invocation *invocation, struct exec *exec)
{
	/* An agent that is gone may have said why. */
	if (exec_send_request(exec, invocation) < 0)
		exec->first = exec->end = 0;
	signal(SIGPIPE, SIG_IGN);
	if (exec->terminal)
		terminal_make_raw();
	exec_take_signals(exec);
	while (!exec->done)
		exec_turn(exec);
	terminal_restore();
	return (enum status)exec->status;
}

static enum status exec_check_words(const struct invocation *invocation)
{
	for (size_t i = 1; i < invocation->argument_count; i++) {
		if (strlen(invocation->arguments[i]) > EXEC_PAYLOAD_MAX)
			return usage_error(invocation, "an argument has at most %u bytes",
					   EXEC_PAYLOAD_MAX);
	}
	return STATUS_OK;
}

enum status command_exec(struct invocation *invocation)
{
	struct exec *exec;
	enum status status = exec_check_words(invocation);

	if (status != STATUS_OK)
		return status;
	exec = calloc(1, sizeof(*exec));
	if (!exec)
		return service_failed(-ENOMEM, NULL);
	exec->invocation = invocation;
	exec->terminal = terminal_is_there();
	exec->input_open = true;
	exec->signals = -1;
	status = guest_socket_open(invocation, invocation->arguments[0], EXEC_PORT, &exec->fd);
	if (status == STATUS_OK) {
		service_stop_asking(invocation);
		status = exec_run(invocation, exec);
		close_fdp(&exec->signals);
		close(exec->fd);
	}
	free(exec);
	return status;
}
