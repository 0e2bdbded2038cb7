/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection: a program is run for a client. */
#include "guest-vsc/agent/session.h"

#include "guest-vsc/agent/program.h"
#include "guest-vsc/agent/request.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct session {
	int fd;
	bool broken; /* the client is gone, or talks nonsense */
	struct exec_reader reader;
	struct request request;
	struct program program;
	const uint8_t *input; /* of the last frame, what the program has not taken */
	size_t input_size;
};

/* ---- To the client ---- */

static bool send_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static bool send_frame(int fd, enum exec_type type, const void *payload, size_t size)
{
	struct {
		struct exec_header header;
		uint8_t payload[EXEC_PAYLOAD_MAX];
	} frame = { .header = { .type = (uint8_t)type, .size = (uint16_t)size } };

	memcpy(frame.payload, payload, size);
	return send_all(fd, &frame, sizeof(frame.header) + size);
}

void session_refuse(int fd, const char *why)
{
	(void)send_frame(fd, EXEC_FAILED, why, strlen(why));
}

/* Return: whether there may be more. */
static bool pass_output(struct session *session, int *fd, enum exec_type type)
{
	uint8_t bytes[EXEC_PAYLOAD_MAX];
	ssize_t size = read(*fd, bytes, sizeof(bytes));

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (size <= 0) {
		/* Of a terminal -EIO: nobody has its other end open. */
		*fd = -1;
		return false;
	}
	session->broken |= !send_frame(session->fd, type, bytes, (size_t)size);
	return !session->broken;
}

static void pass_rest(struct session *session)
{
	struct program *program = &session->program;

	while (program->output >= 0 && pass_output(session, &program->output, EXEC_OUTPUT))
		;
	while (program->errors >= 0 && pass_output(session, &program->errors, EXEC_ERRORS))
		;
}

static void say_end(struct session *session)
{
	int status = program_wait(&session->program);
	uint8_t value = (uint8_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));

	pass_rest(session);
	if (!session->broken)
		session->broken = !send_frame(
			session->fd, WIFSIGNALED(status) ? EXEC_KILLED : EXEC_EXITED, &value, 1);
}

/* ---- From the client ---- */

static void receive(struct session *session)
{
	size_t room;
	uint8_t *at = exec_reader_room(&session->reader, &room);
	ssize_t size = recv(session->fd, at, room, 0);

	if (size > 0)
		exec_reader_fill(&session->reader, (size_t)size);
	else if (size == 0 || errno != EINTR)
		session->broken = true;
}

static bool take_signal(struct session *session, const struct exec_frame *frame)
{
	static const int numbers[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGKILL
	};
	uint8_t number;

	if (!exec_frame_get(frame, &number, sizeof(number)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i] == number)
			program_signal(&session->program, number);
	return true;
}

static bool take_frame(struct session *session, const struct exec_frame *frame)
{
	struct exec_size size;

	switch (frame->type) {
	case EXEC_INPUT:
		if (frame->size == 0)
			program_end_input(&session->program);
		session->input = frame->payload;
		session->input_size = frame->size;
		return true;
	case EXEC_SIZE:
		if (!exec_frame_get(frame, &size, sizeof(size)))
			return false;
		program_resize(&session->program, size);
		return true;
	case EXEC_SIGNAL:
		return take_signal(session, frame);
	default:
		return false;
	}
}

/* A program that takes no more input loses it. */
static void pass_input(struct session *session)
{
	ssize_t size;

	if (session->program.input < 0) {
		session->input_size = 0;
		return;
	}
	size = write(session->program.input, session->input, session->input_size);
	if (size >= 0) {
		session->input += size;
		session->input_size -= (size_t)size;
	} else if (errno != EAGAIN && errno != EINTR) {
		if (!session->program.terminal)
			close(session->program.input);
		session->program.input = -1;
		session->input_size = 0;
	}
}

static void take_frames(struct session *session)
{
	struct exec_frame frame;
	int r = 0;

	while (!session->broken && session->input_size == 0 &&
	       (r = exec_reader_next(&session->reader, &frame)) == 0) {
		session->broken = !take_frame(session, &frame);
		if (session->input_size > 0)
			pass_input(session);
	}
	session->broken |= r == EXEC_E_INVALID;
}

/* ---- The session ---- */

static bool read_request(struct session *session)
{
	struct exec_frame frame;

	while (!session->request.complete && !session->request.failure) {
		int r = exec_reader_next(&session->reader, &frame);

		if (r == EXEC_E_EMPTY)
			receive(session);
		if (session->broken || r == EXEC_E_INVALID)
			return false;
		if (r == 0 && !request_take(&session->request, &frame))
			return false;
	}
	return true;
}

enum { WAIT_CLIENT, WAIT_END, WAIT_OUTPUT, WAIT_ERRORS, WAIT_INPUT, WAIT_COUNT };

static void fill_poll(const struct session *session, struct pollfd fds[WAIT_COUNT])
{
	const struct program *program = &session->program;
	bool blocked = session->input_size > 0;

	fds[WAIT_CLIENT] = (struct pollfd){ session->fd, blocked ? POLLRDHUP : POLLIN, 0 };
	fds[WAIT_END] = (struct pollfd){ program->end, POLLIN, 0 };
	fds[WAIT_OUTPUT] = (struct pollfd){ program->output, POLLIN, 0 };
	fds[WAIT_ERRORS] = (struct pollfd){ program->errors, POLLIN, 0 };
	fds[WAIT_INPUT] = (struct pollfd){ blocked ? program->input : -1, POLLOUT, 0 };
}

/* Return: whether the program has ended. */
static bool turn(struct session *session)
{
	struct program *program = &session->program;
	struct pollfd fds[WAIT_COUNT];

	fill_poll(session, fds);
	if (poll(fds, WAIT_COUNT, -1) < 0)
		return false;
	if (fds[WAIT_OUTPUT].revents)
		(void)pass_output(session, &program->output, EXEC_OUTPUT);
	if (fds[WAIT_ERRORS].revents)
		(void)pass_output(session, &program->errors, EXEC_ERRORS);
	if (fds[WAIT_INPUT].revents)
		pass_input(session);
	if (fds[WAIT_CLIENT].revents && session->input_size > 0)
		session->broken = true;
	else if (fds[WAIT_CLIENT].revents)
		receive(session);
	take_frames(session);
	return fds[WAIT_END].revents;
}

static int run(struct session *session)
{
	int r = program_start(&session->request, &session->program);

	if (r < 0) {
		session_refuse(session->fd, strerror(-r));
		return 1;
	}
	take_frames(session);
	while (!session->broken) {
		if (!turn(session))
			continue;
		say_end(session);
		return session->broken;
	}
	program_signal(&session->program, SIGHUP);
	return 1;
}

int session_run(int fd)
{
	static struct session session;

	session.fd = fd;
	signal(SIGPIPE, SIG_IGN);
	if (!read_request(&session))
		return 1;
	if (session.request.failure) {
		session_refuse(fd, session.request.failure);
		return 1;
	}
	return run(&session);
}
