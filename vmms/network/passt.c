/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* passt(1), the user-mode network of one adapter: its command line, its last words, its end. */
#include "vmms/network/passt.h"

#include "common/base/error.h"
#include "common/base/socket.h"
#include "common/base/text.h"
#include "vmms/base/fault.h"
#include "vmms/base/spawn.h"
#include "vmms/network/resolvers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY        65534u
#define ARGUMENTS_MAX (12 + 2 * RESOLVERS_MAX + 2 * DEFINITION_FORWARDS_MAX)

struct passt {
	struct passt_config config;
	struct process process;
	int pidfd, output;
	sd_event *loop;
	sd_event_source *pidfd_source, *output_source;
	char line[PASST_WORDS_MAX];
	size_t line_size;
	char words[PASST_WORDS_MAX]; /* the last whole line */
};

/* ---- Its output ---- */

static void passt_line_end(struct passt *passt)
{
	if (passt->line_size > 0)
		text_repair(passt->words, sizeof(passt->words), passt->line, passt->line_size);
	passt->line_size = 0;
}

/* Return: false when there is nothing left to read. */
static bool passt_read_output(struct passt *passt)
{
	char buffer[512];
	ssize_t size = read(passt->output, buffer, sizeof(buffer));

	if (size < 0 && errno == EINTR)
		return true;
	for (ssize_t i = 0; i < size; i++) {
		if (buffer[i] == '\n')
			passt_line_end(passt);
		else if (passt->line_size < sizeof(passt->line))
			passt->line[passt->line_size++] = buffer[i];
	}
	return size > 0;
}

static int passt_output_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct passt *passt = data;

	if (!passt_read_output(passt) && events & EPOLLHUP)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* ---- Its end ---- */

static int passt_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct passt *passt = data;
	char words[PASST_WORDS_MAX];
	siginfo_t info = { 0 };
	bool known;

	while (passt->output >= 0 && passt_read_output(passt))
		;
	passt_line_end(passt);
	/* Only a child's end can be asked for. */
	known = waitid(P_PIDFD, (id_t)passt->pidfd, &info, WEXITED | WNOHANG) == 0;
	passt->process.pid = 0;
	if (passt->words[0] != '\0')
		snprintf(words, sizeof(words), "%s", passt->words);
	else if (!known)
		snprintf(words, sizeof(words),
			 "how is not known, since an earlier vmms started it");
	else if (info.si_code == CLD_EXITED)
		snprintf(words, sizeof(words), "exit status %d", info.si_status);
	else
		snprintf(words, sizeof(words), "killed by signal %d", info.si_status);
	sd_event_source_set_enabled(passt->pidfd_source, SD_EVENT_OFF);
	passt->config.ended(passt->config.owner, words);
	return 0;
}

/* ---- Its command line ---- */

struct command_line {
	const char *arguments[ARGUMENTS_MAX];
	size_t count;
	char mtu[16], user[32];
	char resolvers[RESOLVERS_MAX][INET6_ADDRSTRLEN];
	char ports[DEFINITION_FORWARDS_MAX][DEFINITION_FORWARD_TEXT_SIZE];
};

static void passt_add(struct command_line *line, const char *argument)
{
	line->arguments[line->count++] = argument;
}

static void passt_add_pair(struct command_line *line, const char *option, const char *value)
{
	passt_add(line, option);
	passt_add(line, value);
}

/* By number: it looks nobody up, which Debian's AppArmor profile for it does not let it. */
static void passt_add_user(struct command_line *line, uid_t user)
{
	if (geteuid() != 0)
		return;
	snprintf(line->user, sizeof(line->user), "%1$u:%1$u", user > 0 ? user : NOBODY);
	passt_add_pair(line, "--runas", line->user);
}

/*
 * The guest's router would else be the host, with all that listens on its loopback alone. Where the
 * host asks a resolver there, the guest is told which ones that asks.
 */
static void passt_add_walls(struct command_line *line)
{
	size_t count = resolvers_find(line->resolvers, RESOLVERS_MAX);

	passt_add(line, "--no-map-gw");
	for (size_t i = 0; i < count; i++)
		passt_add_pair(line, "--dns", line->resolvers[i]);
}

static void passt_make_command_line(const struct passt_config *config, struct command_line *line)
{
	const struct definition_adapter *adapter = config->adapter;
	const char *const fixed[] = { config->program, "--foreground", "--stderr",
				      "--quiet",       "--fd",         "3",
				      "--mtu",         line->mtu };

	snprintf(line->mtu, sizeof(line->mtu), "%u", adapter->mtu);
	memcpy(line->arguments, fixed, sizeof(fixed));
	line->count = ARRAY_SIZE(fixed);
	passt_add_user(line, config->user);
	if (!adapter->host_loopback)
		passt_add_walls(line);
	for (unsigned i = 0; i < adapter->forward_count; i++) {
		passt_add(line, definition_forward_option(&adapter->forwards[i], line->ports[i]));
		passt_add(line, line->ports[i]);
	}
	line->arguments[line->count] = NULL;
}

static int passt_run_program(struct passt *passt, int socket, int output)
{
	struct command_line line;
	/* Not our working directory, which it may not enter with what privilege it keeps. */
	struct spawn spawn = { .arguments = line.arguments,
			       .directory = "/",
			       .output = output,
			       .error = output,
			       .passed = socket,
			       .profile = passt->config.profile,
			       .outlives = true };
	pid_t pid;
	int r;

	passt_make_command_line(&passt->config, &line);
	r = spawn_program(&spawn, &pid, &passt->pidfd);
	if (r < 0)
		return r;
	fault_point(FAULT_PASST_SPAWNED);
	passt->process.pid = pid;
	r = process_identify(pid, &passt->process);
	return r == -ESRCH ? 0 : r; /* dead already: the pidfd will tell */
}

/* ---- Life ---- */

static int passt_watch_output(struct passt *passt)
{
	int r;

	r = sd_event_add_io(passt->loop, &passt->output_source, passt->output, EPOLLIN,
			    passt_output_ready, passt);
	return r < 0 ? r : sd_event_source_set_ratelimit(passt->output_source, 1000000, 100);
}

static int passt_watch_process(struct passt *passt)
{
	return sd_event_add_io(passt->loop, &passt->pidfd_source, passt->pidfd, EPOLLIN,
			       passt_process_ended, passt);
}

int passt_start(sd_event *loop, const struct passt_config *config, struct passt **ret_passt,
		int *ret_fd)
{
	CLEANUP(passt_freep) struct passt *passt = calloc(1, sizeof(*passt));
	int sockets[2], pipes[2], r;

	if (!passt)
		return -ENOMEM;
	*passt = (struct passt){
		.config = *config, .loop = sd_event_ref(loop), .pidfd = -1, .output = -1
	};
	if (access(config->program, X_OK) < 0)
		return error_origin(-errno);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return error_origin(-errno);
	passt->output = pipes[0];
	AUTO_CLOSE int far_output = pipes[1];
	if (fcntl(passt->output, F_SETFL, O_NONBLOCK) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int ours = sockets[0];
	AUTO_CLOSE int theirs = sockets[1];
	socket_refuse_files(ours);
	socket_refuse_files(theirs);
	socket_make_room(theirs, SOCKET_PASST_ROOM);
	r = passt_run_program(passt, theirs, far_output);
	passt->config.profile = NULL;
	if (r == 0)
		r = passt_watch_output(passt);
	if (r == 0)
		r = passt_watch_process(passt);
	if (r < 0)
		return r;
	passt->config.adapter = NULL;
	*ret_fd = TAKE_FD(ours);
	*ret_passt = TAKE_PTR(passt);
	return 0;
}

int passt_adopt(sd_event *loop, const struct passt_config *config, const struct process *process,
		struct passt **ret_passt)
{
	CLEANUP(passt_freep) struct passt *passt = calloc(1, sizeof(*passt));
	int r;

	if (!passt)
		return -ENOMEM;
	*passt = (struct passt){
		.config = *config, .loop = sd_event_ref(loop), .pidfd = -1, .output = -1
	};
	r = process_open(process, &passt->pidfd);
	if (r == 0)
		r = passt_watch_process(passt);
	if (r < 0)
		return r;
	passt->process = *process;
	passt->config.adapter = NULL;
	*ret_passt = TAKE_PTR(passt);
	return 0;
}

const struct process *passt_process(const struct passt *passt)
{
	return &passt->process;
}

void passt_free(struct passt *passt)
{
	if (!passt)
		return;
	sd_event_source_disable_unref(passt->pidfd_source);
	sd_event_source_disable_unref(passt->output_source);
	if (passt->process.pid > 0) {
		(void)pidfd_send_signal(passt->pidfd, SIGKILL, NULL, 0);
		process_reap(passt->loop, TAKE_FD(passt->pidfd));
	}
	sd_event_unref(passt->loop);
	close_fdp(&passt->pidfd);
	close_fdp(&passt->output);
	free(passt);
}
